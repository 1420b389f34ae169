#!/usr/bin/env bash
# Tries a fleet on several hosts for real: three nodes of Docker Swarm, each a dockerd of its own in a network namespace of its own. Under load: a node that is
# cut off, a node that is killed with all that runs on it, a rolling update, and from 1 to 5 replicas and back by the number of calls in flight, which the script
# asks for at /metrics and goes by as the Helm chart's autoscaler does. Fails where a call is lost that need not be. Not part of CI: it needs root and 10 minutes.
#
# usage: swarm.sh [--binary FILE] [--plugins DIR] [--callers N] [--keep]
#
#   --binary FILE   the program to put into the image (default: target/release/toolbay, or else target/debug/toolbay)
#   --plugins DIR   the plugins to put into it (default: dist/plugins, and target/test-plugins/everything.wasm, whose calls take as long as is wanted)
#   --callers N     how many call at once, each up to 30 times a second (default: 2)
#   --keep          leave the nodes' folder, with the logs of everything
#
# Needs docker.io (20.10 or later), iproute2, util-linux, jq, curl and python3. Nothing of it leaves the namespaces but what dockerd writes below its own folder.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'swarm: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}
binary= plugins= keep= callers=2
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --keep) keep=yes && shift ;;
    --binary | --plugins | --callers)
        [ $# -ge 2 ] || die "$1 needs a value; --help shows how"
        case $1 in --binary) binary=$2 ;; --plugins) plugins=$2 ;; --callers) callers=$2 ;; esac
        shift 2
        ;;
    *) die "unknown option $1; --help lists them" ;;
    esac
done
[ "$(id -u)" = 0 ] || die "it makes network namespaces, so it needs root"
for program in dockerd docker ip nsenter unshare jq curl python3; do
    command -v "$program" >/dev/null || die "$program is missing (Debian: apt-get install docker.io iproute2 util-linux jq curl python3)"
done
for candidate in "$binary" "$root/target/release/toolbay" "$root/target/debug/toolbay"; do
    [ ! -x "$candidate" ] || { binary=$candidate && break; }
done
[ -x "$binary" ] || die "there is no program to put into the image: cargo build --release, or name one by --binary"

# Names of namespaces and links are short.
p=sw$((RANDOM % 900 + 100))
lab=$(mktemp -d /tmp/toolbay-swarm-XXXXXX)
if [ -z "$plugins" ]; then
    plugins=$lab/plugins
    everything=$root/target/test-plugins/everything.wasm
    [ -r "$everything" ] || { rm -r "$lab" && die "$everything is missing: scripts/build-test-plugins.sh builds it"; }
    mkdir "$plugins"
    cp "$root"/dist/plugins/*.{wasm,toml} "$everything" "$plugins"
fi
daemons=()
load= watcher= scaler=
# The processes of a node: those in its namespace, and those in its containers, which have namespaces of their own.
everything_of() {
    {
        ip netns pids "$p$1" || true
        find /sys/fs/cgroup -path "*/$p$1/*" -name cgroup.procs -exec cat {} + || true
    } 2>/dev/null | sort -u
}
# Whatever one of them has started meanwhile, too. One that has just ended is no failure.
kill_all_of() {
    for _ in 1 2 3; do
        everything_of "$1" | xargs -r kill -9 2>/dev/null || true
        sleep 0.3
    done
}
end() {
    set +e
    for started in $load $watcher $scaler; do kill "$started" 2>/dev/null; done
    for daemon in "${daemons[@]}"; do kill "$daemon" 2>/dev/null; done
    for i in 1 2 3; do
        [ ! -r "$lab/$i/pid" ] || timeout 30 tail --pid="$(cat "$lab/$i/pid")" -f /dev/null
        kill_all_of "$i"
        find /sys/fs/cgroup -depth -type d -path "*/$p$i*" -exec rmdir {} + 2>/dev/null
    done
    for i in 0 1 2 3 4; do ip netns del "$p$i" 2>/dev/null; done
    if [ -n "$keep" ]; then say "the folder is $lab"; else rm -rf "$lab"; fi
}
trap end EXIT

# Four hosts on one bridge, in a namespace that has no way out. The fourth is the clients'.
ip netns add "${p}0"
ip -n "${p}0" link set lo up
ip -n "${p}0" link add br0 type bridge
ip -n "${p}0" addr add 10.77.0.254/24 dev br0
ip -n "${p}0" link set br0 up
ip netns exec "${p}0" sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
for i in 1 2 3 4; do
    ip netns add "$p$i"
    ip -n "$p$i" link set lo up
    ip -n "${p}0" link add "${p}b$i" type veth peer name eth0 netns "$p$i"
    ip -n "${p}0" link set "${p}b$i" master br0 up
    ip -n "$p$i" addr add "10.77.0.$i/24" dev eth0
    ip -n "$p$i" link set eth0 up
    ip -n "$p$i" route add default via 10.77.0.254
done

# A dockerd with everything of its own: nsenter and not `ip netns exec`, which would lay a new /sys over the cgroups.
node() {
    local i=$1
    mkdir -p "$lab/$i/data"
    nsenter --net="/run/netns/$p$i" unshare -m bash -c "
        mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/docker /run/lock
        exec dockerd --host unix://$lab/$i/docker.sock --data-root $lab/$i/data --exec-root /run/docker --pidfile $lab/$i/pid \
            --cgroup-parent /$p$i --default-ulimit nofile=4096:4096 --default-ulimit nproc=4096:4096" >>"$lab/$i/log" 2>&1 &
    daemons+=($!)
}
on() {
    local i=$1
    shift
    docker -H "unix://$lab/$i/docker.sock" "$@"
}
until_true() {
    local what=$1 patience=$2
    shift 2
    for _ in $(seq "$((patience * 2))"); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.5
    done
    die "waited $patience s in vain until $what (the logs are in $lab; --keep leaves them)"
}
for i in 1 2 3; do node "$i"; done
for i in 1 2 3; do until_true "dockerd $i answers" 60 on "$i" info; done
on 1 swarm init --advertise-addr 10.77.0.1 --listen-addr 10.77.0.1 >/dev/null
token=$(on 1 swarm join-token -q worker)
for i in 2 3; do on "$i" swarm join --token "$token" --advertise-addr "10.77.0.$i" --listen-addr "10.77.0.$i" 10.77.0.1:2377 >/dev/null; done
say "three nodes: $(on 1 node ls --format '{{.Status}}' | sort | uniq -c | tr -s ' ')"

say "building the image from $binary"
DOCKER_HOST=unix://$lab/1/docker.sock "$root/scripts/image.sh" --engine docker --binary "$binary" --plugins "$plugins" --without-models --tag toolbay:try
on 1 save -o "$lab/image.tar" toolbay:try
for i in 2 3; do on "$i" load -q -i "$lab/image.tar" >/dev/null; done

cat >"$lab/toolbay.toml" <<'T'
listen = "0.0.0.0:8000"
plugins = "/opt/toolbay/plugins"
[auth.tokens]
default = { from_env = "TOOLBAY_TOKEN" }
[state]
keys = [{ from_env = "TOOLBAY_KEY" }]
copies = 3
[tasks]
advertise = { from_env = "ADVERTISE" }
T
secret=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
# No IPVS is needed: names of tasks are resolved one by one, and ports are the nodes' own.
cat >"$lab/stack.yml" <<T
version: "3.8"
services:
  toolbay:
    image: toolbay:try
    environment:
      TOOLBAY_TOKEN: "$secret"
      TOOLBAY_KEY: "$secret"
      ADVERTISE: "{{.Service.Name}}.{{.Task.Slot}}.{{.Task.ID}}"
    configs: [{source: toolbay, target: /etc/toolbay/toolbay.toml}]
    read_only: true
    tmpfs: [/tmp]
    volumes: ["cache:/cache"]
    networks: [net]
    ports: [{target: 8000, mode: host}]
    stop_grace_period: 40s
    deploy:
      replicas: 3
      endpoint_mode: dnsrr
      restart_policy: {delay: 1s}
      update_config: {parallelism: 1, order: start-first, delay: 1s}
configs: {toolbay: {file: $lab/toolbay.toml}}
networks: {net: {driver: overlay}}
volumes: {cache: {}}
T
on 1 stack deploy --resolve-image never -c "$lab/stack.yml" tb >/dev/null 2>&1
running() { [ "$(on 1 service ls --format '{{.Replicas}}')" = "$1/$1" ]; }
until_true "three replicas run" 180 running 3
say "three replicas are healthy"

# Where the replicas answer: the ports that the nodes gave them. Nodes that do not answer have none that could be asked for.
endpoints() {
    local i id
    for i in 1 2 3; do
        for id in $(timeout 5 docker -H "unix://$lab/$i/docker.sock" ps -q --filter health=healthy 2>/dev/null || true); do
            # One that has just ended has no port.
            { timeout 5 docker -H "unix://$lab/$i/docker.sock" port "$id" 8000 2>/dev/null || true; } | sed -n "s/^0\.0\.0\.0:/http:\/\/10.77.0.$i:/p"
        done
    done
}
renew() {
    endpoints >"$lab/endpoints.new"
    mv "$lab/endpoints.new" "$lab/endpoints"
}
renew
(while sleep 0.7; do renew || true; done) 2>/dev/null &
watcher=$!

# Callers that go round all replicas with one session, as behind a balancer: where a connection fails, the next one is tried; what was sent is not sent again.
cat >"$lab/load.py" <<'P'
import http.client, json, pathlib, socket, sys, threading, time, urllib.parse
lab, token, callers = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
SLOW = 40
lock, counts = threading.Lock(), {"calls": 0, "slow": 0, "failed": 0, "began again": 0}
said = []
def endpoints():
    return (lab / "endpoints").read_text().split()
def connect(url):
    host = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(host.hostname, host.port, timeout=20)
    connection.sock = socket.create_connection((host.hostname, host.port), 1.5)
    connection.sock.settimeout(20)
    return connection
def post(connection, body, session):
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", "authorization": f"Bearer {token}",
               "mcp-protocol-version": "2025-06-18"}
    if session:
        headers["mcp-session-id"] = session
    connection.request("POST", "/mcp", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("mcp-session-id"), text
def anywhere(turn, body, session):
    """The first replica that can be connected to and has room."""
    why = None
    for attempt in range(20):
        all = endpoints()
        if not all:
            time.sleep(0.5)
            continue
        try:
            connection = connect(all[(turn + attempt) % len(all)])
        except OSError as error:
            why = error
            time.sleep(0.1)
            continue
        answer = post(connection, body, session)
        if answer[0] == 503:
            why = answer[2]
            time.sleep(0.2)
            continue
        return answer
    raise RuntimeError(f"no replica answers: {why}")
def slow_wanted():
    try:
        return int((lab / "slow").read_text())
    except (OSError, ValueError):
        return 0
def caller(number, is_slow):
    session, turn = None, number
    while not (lab / "stop").exists():
        if is_slow and slow_wanted() <= number:
            time.sleep(0.5)
            continue
        turn += 1
        try:
            if session is None:
                hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {},
                         "clientInfo": {"name": "load", "version": "1"}}}
                status, session, text = anywhere(turn, hello, None)
                continue
            name, arguments = ("slow_compute", {"seconds": 3}) if is_slow else ("add", {"a": turn, "b": 1})
            call = {"jsonrpc": "2.0", "id": turn, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
            status, _, text = anywhere(turn, call, session)
            right = "Computed" in text if is_slow else f'"result":{turn + 1}' in text.replace(" ", "").replace(".0", "")
            with lock:
                counts["slow" if is_slow else "calls"] += 1
                if status == 404:
                    counts["began again"] += 1
                    session = None
                elif not right:
                    counts["failed"] += 1
                    said.append(f"{name}: {status} {text[:200]}")
        except Exception as error:
            with lock:
                counts["slow" if is_slow else "calls"] += 1
                counts["failed"] += 1
                said.append(repr(error))
        if not is_slow:
            time.sleep(0.03)
threads = [threading.Thread(target=caller, args=(number, False), daemon=True) for number in range(callers)]
threads += [threading.Thread(target=caller, args=(number, True), daemon=True) for number in range(SLOW)]
for thread in threads:
    thread.start()
while not (lab / "stop").exists():
    with lock:
        (lab / "counts.new").write_text(json.dumps(counts))
        (lab / "said").write_text("\n".join(said[-40:]))
    (lab / "counts.new").rename(lab / "counts")
    time.sleep(0.25)
P
ip netns exec "${p}4" python3 "$lab/load.py" "$lab" "$secret" "$callers" 2>"$lab/load.log" &
load=$!
until_true "calls are answered" 60 test -s "$lab/counts"
more() {
    local wanted=$(($(jq .calls "$lab/counts") + $1))
    until_true "$1 more calls are answered" 120 bash -c "[ \$(jq .calls $lab/counts) -ge $wanted ]"
}
before='{}'
begin() {
    more 100
    before=$(cat "$lab/counts")
}
# Tells what became of the calls, and fails where more were lost than had to be.
tell() {
    local what=$1 most=$2
    more 200
    jq -r --argjson before "$before" --arg what "$what" \
        '"swarm: \($what): \(.calls + .slow - $before.calls - $before.slow) calls, \(.failed - $before.failed) failed, \(.["began again"] - $before["began again"]) sessions began again"' "$lab/counts" >&2
    local failed
    failed=$(jq ".failed - $(jq .failed <<<"$before")" "$lab/counts")
    [ "$failed" -le "$most" ] || die "$failed calls failed, and at most $most may: $(tail -n 5 "$lab/said")"
}
nodes_are() { [ "$(on 1 node ls --format '{{.Status}}' | grep -c "$1")" = "$2" ]; }
tasks_run() { [ "$(on 1 service ps tb_toolbay --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running')" -ge "$1" ]; }

begin
tell "quiet" 0

begin
ip -n "${p}0" link set "${p}b3" down
more 300
until_true "the node is seen to be down" 60 nodes_are Down 1
more 300
ip -n "${p}0" link set "${p}b3" up
until_true "the node is back" 90 nodes_are Ready 3
until_true "three replicas run again" 180 running 3
# What was in flight there when the link went.
tell "a node cut off for a while, and back" "$callers"

begin
# The shell tells of it.
{ kill -9 "$(cat "$lab/2/pid")" && kill_all_of 2; } 2>/dev/null
left=$(everything_of 2 | wc -l)
[ "$left" = 0 ] || die "$left processes of the node run on: $(everything_of 2 | xargs -r ps -o pid=,args= -p)"
rm -f "$lab/2/pid" "$lab/2/docker.sock"
until_true "the node is seen to be down" 90 nodes_are Down 1
until_true "its replicas run elsewhere" 180 tasks_run 3
tell "a node killed with all that ran on it" "$callers"
node 2
until_true "dockerd 2 answers again" 60 on 2 info
until_true "the node is back" 90 nodes_are Ready 3

begin
on 1 service update --quiet --env-add TOOLBAY_UPDATED=1 tb_toolbay >/dev/null
until_true "three replicas run" 180 running 3
tell "a rolling update of all replicas" 0

# What an autoscaler does: as many replicas as there have to be for so many calls in flight at each; more of them at once, fewer only after a while.
in_flight() {
    local url
    while read -r url; do
        ip netns exec "${p}4" curl -sf -m 3 -H "authorization: Bearer $secret" "$url/metrics" </dev/null || true
    done <"$lab/endpoints" | awk '/^toolbay_calls_in_flight /{sum += $2} END {print sum + 0}'
}
scale_by_calls() {
    local target=4 least=1 most=5 patience=5 calls wanted now=$1 fewer=0
    while sleep 2; do
        calls=$(in_flight)
        wanted=$(((calls + target - 1) / target))
        [ "$wanted" -ge "$least" ] || wanted=$least
        [ "$wanted" -le "$most" ] || wanted=$most
        if [ "$wanted" -lt "$now" ]; then fewer=$((fewer + 1)); else fewer=0; fi
        if [ "$wanted" -gt "$now" ] || [ "$fewer" -ge "$patience" ]; then
            say "$calls calls in flight: $now -> $wanted replicas"
            on 1 service scale --detach=true "tb_toolbay=$wanted" >/dev/null 2>&1 && now=$wanted fewer=0
        fi
    done
}
begin
on 1 service scale --detach=true tb_toolbay=1 >/dev/null
until_true "one replica runs" 180 running 1
tell "scaled to 1 by hand" 0
begin
scale_by_calls 1 &
scaler=$!
echo 18 >"$lab/slow"
until_true "five replicas run" 300 running 5
more 200
tell "from 1 to 5 replicas by the calls in flight" 0
begin
echo 0 >"$lab/slow"
until_true "one replica is left" 300 running 1
kill "$scaler"
scaler=
tell "from 5 replicas to 1 by the calls in flight" 0
touch "$lab/stop"
wait "$load" || true
load=
say "in all: $(jq -c . "$lab/counts")"
[ ! -s "$lab/said" ] || { say "what failed:" && tail -n 5 "$lab/said" >&2; }

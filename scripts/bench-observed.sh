#!/usr/bin/env bash
# usage: scripts/bench-observed.sh [--parts] [TOOLBAY] [BENCH] [ROUNDS]      (target/release/toolbay, target/release/toolbay-bench, 40 rounds)
#
# What it costs to watch a host: CPU time per call at 64 connections with metrics, traces of every call, audit and an open console, next to a host with
# none of them. CPU time of all threads counts, also of those that write and send. With --parts, each of the four is measured by itself too.
#
# The rounds are short and alternate, so that what else the machine does is in all of them. Prints the median of the ratios, with the range in which it lies
# by nine chances of ten.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=
[ "${1:-}" != --parts ] || { parts="metrics traces audit console" && shift; }
toolbay=$(realpath "${1:-target/release/toolbay}")
bench=$(realpath "${2:-target/release/toolbay-bench}")
rounds=${3:-40}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/plugins"
cp dist/plugins/calculator.wasm "$work/plugins/"

# A collector that takes everything.
python3 - "$work/collector" <<'PY' &
import http.server, sys
class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
open(sys.argv[1], "w").write(str(server.server_port))
server.serve_forever()
PY
pids+=($!)
until [ -s "$work/collector" ]; do sleep 0.1; done

# The audit's file grows by megabytes a second. Memory that a virtual machine has never touched costs ten times as much when it is written to for the first
# time, which no host that runs for long pays: some of it is touched before.
head -c 500000000 /dev/zero >"$work/touched"
rm "$work/touched"

off='[metrics]
enabled = false'
metrics=
traces="[traces]
endpoint = \"http://127.0.0.1:$(cat "$work/collector")\"
queue = 1000000"
audit="[audit]
file = \"$work/audit.jsonl\""
console='[console]
enabled = true'
configuration() { # NAME
    case $1 in
    all) printf '%s\n' "$metrics" "$traces" "$audit" "$console" ;;
    off | metrics) echo "${!1}" ;;
    *) printf '%s\n' "$off" "${!1}" ;;
    esac
}

declare -A address pid
start() { # NAME: sets its address and pid
    mkdir "$work/$1"
    configuration "$1" | sed "s|audit.jsonl|$1/audit.jsonl|" >"$work/$1.toml"
    "$toolbay" serve --config "$work/$1.toml" --plugins "$work/plugins" --listen 127.0.0.1:0 >"$work/$1.out" 2>"$work/$1.log" &
    pid[$1]=$!
    pids+=("$!")
    for _ in $(seq 600); do
        address[$1]=$(sed -n 's|.*http://\(127.0.0.1:[0-9]*\)/mcp.*|\1|p' "$work/$1.out" | head -n 1)
        [ -z "${address[$1]}" ] || return 0
        sleep 0.1
    done
    cat "$work/$1.log" >&2
    exit 1
}
hosts="off $parts all"
for host in $hosts; do start "$host"; done
# The console's page asks once a second.
for host in $hosts; do
    case $host in console | all) ;; *) continue ;; esac
    (while sleep 1; do curl -sf "http://${address[$host]}/console/api/live" -o /dev/null || true; done) &
    pids+=($!)
done

cpu() { # NAME MILLIS
    "$bench" load --address "${address[$1]}" --pid "${pid[$1]}" --connections 64 --warmup 150 --millis "$2" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["cpu_us"])'
}
# Until the code that the compiler has made in the meantime serves.
for host in $hosts; do cpu "$host" 3000 >/dev/null; done
for _ in $(seq "$rounds"); do
    line=
    # In another order each time.
    for host in $(shuf -e $hosts); do line+="$host $(cpu "$host" 600) "; done
    echo "$line" | tee -a "$work/rounds"
done
python3 - "$work/rounds" $hosts <<'PY'
import random, statistics, sys
rounds = [line.split() for line in open(sys.argv[1])]
rounds = [dict(zip(words[::2], map(float, words[1::2]))) for words in rounds]
for host in sys.argv[3:]:
    ratios = [times[host] / times["off"] for times in rounds]
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(2000))
    name = "everything on" if host == "all" else f"{host} alone"
    print(f"{name} costs {statistics.median(ratios):.3f} ({medians[100]:.3f} to {medians[1900]:.3f}) times everything off")
print(f"a call takes {statistics.median(times['off'] for times in rounds):.1f} µs of CPU time with everything off; the goal is 1.1 times that ({len(rounds)} rounds)")
PY

#!/usr/bin/env bash
# usage: scripts/bench-observed.sh [TOOLBAY] [BENCH] [ROUNDS]      (target/release/toolbay, target/release/toolbay-bench, 9 rounds)
#
# What it costs to watch a host: CPU time per call at 64 connections with metrics, traces of every call, audit and an open console, next to a host with
# none of them. The rounds alternate, so that what else the machine does is in both. Prints each round, and the median of the ratios.
set -euo pipefail
cd "$(dirname "$0")/.."

toolbay=$(realpath "${1:-target/release/toolbay}")
bench=$(realpath "${2:-target/release/toolbay-bench}")
rounds=${3:-9}
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

printf '[metrics]\nenabled = false\n' >"$work/off.toml"
cat >"$work/on.toml" <<TOML
[traces]
endpoint = "http://127.0.0.1:$(cat "$work/collector")"
queue = 1000000
[audit]
file = "$work/audit.jsonl"
[console]
enabled = true
TOML

address= pid=
start() { # NAME: sets address and pid
    "$toolbay" serve --config "$work/$1.toml" --plugins "$work/plugins" --listen 127.0.0.1:0 >"$work/$1.out" 2>"$work/$1.log" &
    pid=$!
    pids+=("$pid")
    for _ in $(seq 600); do
        address=$(sed -n 's|.*http://\(127.0.0.1:[0-9]*\)/mcp.*|\1|p' "$work/$1.out" | head -n 1)
        [ -z "$address" ] || return 0
        sleep 0.1
    done
    cat "$work/$1.log" >&2
    exit 1
}
start off
off=$address off_pid=$pid
start on
on=$address on_pid=$pid
# The console's page asks once a second.
(while sleep 1; do curl -sf "http://$on/console/api/live" -o /dev/null || true; done) &
pids+=($!)

cpu() { "$bench" load --address "$1" --pid "$2" --connections 64 --warmup 500 --millis 3000 | python3 -c 'import json, sys; print(json.load(sys.stdin)["cpu_us"])'; }
for round in $(seq "$rounds"); do
    a=$(cpu "$off" "$off_pid")
    b=$(cpu "$on" "$on_pid")
    echo "$a $b" >>"$work/rounds"
    echo "round $round: off $a µs, on $b µs of CPU time per call"
done
python3 - "$work/rounds" <<'PY'
import statistics, sys
ratios = [float(b) / float(a) for a, b in (line.split() for line in open(sys.argv[1]))]
print(f"everything on costs {statistics.median(ratios):.3f} times everything off (median of {len(ratios)}; goal 1.1)")
PY

#!/usr/bin/env bash
# A plugin author's day by hand, on Linux or macOS: for each language and kind, from an empty folder to a call, its cases, and from an edit to the next call.
#
# usage: author-day.sh TOOLBAY [LANGUAGE...]        (rust js ts python c)
#
# Needs what `toolbay build` asks for: cargo with the target wasm32-wasip2, npm, Python 3.11, clang for WebAssembly. What the projects install, they install
# into one folder that is deleted at the end. Prints a line for each, with its times in seconds.
set -euo pipefail

toolbay=$(cd "$(dirname "${1:?the program is missing}")" && pwd)/$(basename "$1")
shift
[ $# -gt 0 ] || set -- rust js ts python c
# Blanks in its name: a folder of a person's.
work=$(mktemp -d)/"my plugins"
server=''
stop() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    server=''
}
trap 'stop; rm -rf "$(dirname "$work")"' EXIT
mkdir -p "$work"
cd "$work"
# Crates are compiled once for all projects.
export CARGO_TARGET_DIR=$work/target

fail() {
    printf 'author-day: %s\n' "$*" >&2
    exit 1
}
# What a project of the language needs, once for all of them.
tools() {
    case $1 in
    js | ts)
        command -v esbuild >/dev/null && command -v componentize-qjs >/dev/null && return
        npm install --silent --no-fund --no-audit --prefix "$work" esbuild@0.28.0 componentize-qjs@0.4.5 >&2
        export PATH=$work/node_modules/.bin:$PATH
        ;;
    python)
        command -v componentize-py >/dev/null && return
        python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet componentize-py==0.25.1 >&2
        export PATH=$work/venv/bin:$PATH
        ;;
    esac
}
# Waits until the tool greets like this.
greets() {
    local url=$1 wanted=$2 tries=0
    until [ "$("$toolbay" call greet '{"name": "Ann"}' --url "$url" 2>/dev/null)" = "$wanted" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 3000 ] || fail "it does not greet with $wanted"
        sleep 0.1
    done
}
day() {
    local lang=$1 kind=$2 begun live edited url='' code
    local name=$lang-$kind
    begun=$(date +%s)
    "$toolbay" new "$name" --lang "$lang" --kind "$kind" >/dev/null
    "$toolbay" dev "$name" --listen 127.0.0.1:0 >"$name.out" 2>"$name.err" &
    server=$!
    until [ -n "$url" ]; do
        kill -0 "$server" 2>/dev/null || fail "toolbay dev ended: $(cat "$name.err")"
        url=$(sed -n 's#^ *\(http://[^ ]*/mcp\).*#\1#p' "$name.out" | head -n 1)
        sleep 0.1
    done
    greets "$url" 'Hello, Ann!'
    live=$(date +%s)
    code=$(grep -rl 'Hello, ' "$name"/src "$name"/app.py 2>/dev/null | head -n 1)
    sed 's/Hello, /Hi, /g' "$code" >"$name.new" && mv "$name.new" "$code"
    greets "$url" 'Hi, Ann!'
    edited=$(date +%s)
    stop
    "$toolbay" build "$name" >/dev/null 2>&1 || fail "$name is not built"
    [ "$("$toolbay" call greet '{"name": "Ann"}' --plugins "$name/dist" 2>/dev/null)" = 'Hi, Ann!' ] || fail "$name is not called"
    sed 's/Hello, /Hi, /g' "$name/tests/cases.toml" >"$name.new" && mv "$name.new" "$name/tests/cases.toml"
    "$toolbay" test "$name" --no-build | grep -q '2 cases, 0 failed' || fail "the cases of $name fail"
    printf '%-7s %-6s new to live %3d s, edit to live %3d s\n' "$lang" "$kind" $((live - begun)) $((edited - live))
}

for lang in "$@"; do
    tools "$lang"
    for kind in tools typed http; do day "$lang" "$kind"; done
done

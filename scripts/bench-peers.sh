#!/usr/bin/env bash
# Compares Toolbay with other MCP servers, gateways and bridges: one run, one table, every answer checked.
#
#     scripts/bench-peers.sh             some 25 minutes, and some 10 more the first time (1.8 GB from PyPI and npm)
#     scripts/bench-peers.sh --quick     one short round
#     scripts/bench-peers.sh --publish   a full run, from which docs/comparison.md and its plots are made
#     scripts/bench-peers.sh --check     compares Toolbay's ratios to the floor with those in docs/comparison.json
#
# usage: bench-peers.sh [--publish | --check] [OPTIONS OF benches/peers/run.py]        (docs/comparison.md explains the tables)
#
# Needs Python 3.11 with venv, and Node 20 with npm for the rows of Node. The others are installed at locked versions into
# ${XDG_CACHE_HOME:-~/.cache}/toolbay/peers. What cannot be installed or does not answer is a row that says why.
# TOOLBAY, TOOLBAY_BENCH and TOOLBAY_PLUGINS name programs and a folder that are there already.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/components.sh
source "$root/scripts/lib/components.sh"

then=
case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
--publish | --check)
    then=$1
    shift
    ;;
esac

cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
out=$target/bench/peers.json
toolbay=${TOOLBAY:-$target/release/toolbay}
bench=${TOOLBAY_BENCH:-$target/release/toolbay-bench}
plugins=${TOOLBAY_PLUGINS:-$root/dist/plugins}
if [ -z "${TOOLBAY:-}" ] || [ -z "${TOOLBAY_BENCH:-}" ]; then
    say "building (the first time some minutes)"
    cargo build --release --locked --package toolbay --package toolbay-bench
fi
[ -n "${TOOLBAY_PLUGINS:-}" ] || "$root/scripts/build-plugins.sh" --toolbay "$toolbay" "$plugins"
# In a shell of its own: the toolchain for components is not the host's.
component=$(
    use_wasm_toolchain
    build_component "$root/benches/peers/component" mcp_http mcp-http
    printf '%s' "$built"
)
say "measuring: keep the machine quiet"
export PYTHONDONTWRITEBYTECODE=1
python3 benches/peers/run.py --toolbay "$toolbay" --bench "$bench" --plugins "$plugins" --component "$component" --out "$out" "$@"
case $then in
--publish) python3 benches/peers/report.py "$out" ;;
--check) python3 benches/peers/report.py --check "$out" ;;
*) python3 benches/peers/report.py --print "$out" ;;
esac

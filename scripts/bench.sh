#!/usr/bin/env bash
# Builds everything and compares Toolbay with the least that such a server can cost: one run, one table.
#
#     scripts/bench.sh             some 8 minutes
#     scripts/bench.sh --quick     some 2 minutes, less sure
#
# usage: bench.sh [OPTIONS OF toolbay-bench run]        (--help shows them; docs/benchmarks.md explains the table)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'bench: %s\n' "$*" >&2; }

cd "$root"
say "building (the first time some minutes)"
cargo build --release --locked --package toolbay --package toolbay-bench
target=${CARGO_TARGET_DIR:-$root/target}
"$root/scripts/build-plugins.sh" --toolbay "$target/release/toolbay" "$root/dist/plugins"
# A bridge that people use, to compare with: installed once, from PyPI.
proxy=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/bench/$(sha256sum <benches/requirements.txt | cut -c1-16)
if [ ! -e "$proxy/ready" ]; then
    say "installing mcp-proxy into $proxy (once)"
    python3 -m venv "$proxy" && "$proxy/bin/pip" install --quiet --disable-pip-version-check --no-deps -r benches/requirements.txt && touch "$proxy/ready"
fi
say "measuring: keep the machine quiet"
exec "$target/release/toolbay-bench" run --toolbay "$target/release/toolbay" --mcp-proxy "$proxy/bin/mcp-proxy" "$@"

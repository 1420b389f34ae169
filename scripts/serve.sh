#!/usr/bin/env bash
# Builds the host and the plugins that ship, and serves them at http://127.0.0.1:8000/mcp:
#
#     scripts/serve.sh
#
# usage: serve.sh [OPTIONS OF toolbay serve]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'serve: %s\n' "$*" >&2; }

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
command -v cargo >/dev/null || {
    echo "serve: cargo is missing: install Rust from https://rustup.rs, then run this again" >&2
    exit 1
}

say "1 of 3: the host (the first time some 5 minutes on two cores; later only what changed)"
(cd "$root" && cargo build --release --locked --package toolbay)
say "2 of 3: the plugins, as WebAssembly"
"$root/scripts/build-plugins.sh" --toolbay "$root/target/release/toolbay" "$root/dist/plugins"
say "3 of 3: serving $root/dist/plugins; Ctrl-C ends it"
exec "$root/target/release/toolbay" serve --plugins "$root/dist/plugins" "$@"

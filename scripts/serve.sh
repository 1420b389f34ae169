#!/usr/bin/env bash
# Builds the host and the bundled plugins, installs ONNX Runtime for those that run models, and serves everything at http://127.0.0.1:8000/mcp:
#
#     scripts/serve.sh
#
# usage: serve.sh [OPTIONS OF toolbay serve]
#
# It serves toolbay.toml of the repository, unless --config names another file.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'serve: %s\n' "$*" >&2; }

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
if ! command -v cargo >/dev/null; then
    say "cargo is missing: install Rust from https://rustup.rs, then run this again"
    exit 1
fi
if ! command -v cc >/dev/null; then
    say "a C compiler is missing, which Rust links with (Debian: apt-get install build-essential), then run this again"
    exit 1
fi

say "1 of 4: the host (the first build compiles some 350 crates; later builds only what changed)"
(cd "$root" && cargo build --release --locked --package toolbay)
say "2 of 4: the plugins, as WebAssembly"
"$root/scripts/build-plugins.sh" --toolbay "$root/target/release/toolbay" "$root/dist/plugins"
say "3 of 4: ONNX Runtime, which runs models"
# Everything else is served without it; the two tools say what is missing.
"$root/scripts/onnxruntime.sh" >/dev/null ||
    say "no ONNX Runtime: translate and classify won't work, everything else will. To install it later, run scripts/onnxruntime.sh and restart"
# The bundled toolbay.toml serves dist/plugins. A configuration of your own says itself what it serves, or --plugins does.
options=(--config "$root/toolbay.toml")
for option in "$@"; do
    case $option in
    --config | --config=*) options=() ;;
    esac
done
say "4 of 4: serving; Ctrl-C ends it"
exec "$root/target/release/toolbay" serve "${options[@]}" "$@"

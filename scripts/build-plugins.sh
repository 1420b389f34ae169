#!/usr/bin/env bash
# Builds the plugins that ship and puts them, each with the file that grants what it needs, into one folder to serve:
#
#     scripts/build-plugins.sh
#     toolbay serve --plugins dist/plugins
#
# Only what changed is compiled, and only what changed is replaced in the folder, so it may be run beside a server.
#
# usage: build-plugins.sh [--toolbay BINARY] [OUT_DIR]        (default: dist/plugins)
#
# BINARY (or $TOOLBAY, or target/release/toolbay) writes the descriptions from each plugin's WIT files into the component.
set -euo pipefail
shopt -s inherit_errexit nullglob

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/components.sh
source "$root/scripts/lib/components.sh"

toolbay=
out=$root/dist/plugins
while [ $# -gt 0 ]; do
    case $1 in
    --toolbay)
        toolbay=${2:?--toolbay needs the path of the binary}
        shift 2
        ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    -*)
        echo "build-plugins: unknown option $1; see --help" >&2
        exit 2
        ;;
    *)
        out=$1
        shift
        ;;
    esac
done
find_toolbay
use_wasm_toolchain
mkdir -p "$out"
for manifest in "$root"/plugins/*/Cargo.toml; do
    plugin=$(dirname "$manifest")
    name=$(basename "$plugin")
    build_component "$plugin" "$name"
    embed_docs "$built" "$plugin"
    install_component "$built" "$out/$name.wasm"
    [ ! -f "$plugin/$name.toml" ] || install_sidecar "$plugin/$name.toml" "$out/$name.toml"
done

#!/usr/bin/env bash
# Builds the components that the tests call into target/test-plugins: those of tests/plugins, and the example of the SDK for Rust.
#
# usage: build-test-plugins.sh [OUT_DIR]        ($TOOLBAY or target/release/toolbay writes the descriptions into them)
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/components.sh
source "$root/scripts/lib/components.sh"

toolbay=
out=${1:-$root/target/test-plugins}
find_toolbay
use_wasm_toolchain
mkdir -p "$out"
for name in chain everything herald keeper kinds moody neural notes probe warden; do
    build_component "$root/tests/plugins/$name" "$name"
    embed_docs "$built" "$root/tests/plugins/$name"
    install_component "$built" "$out/$name.wasm"
done
build_component "$root/examples/author/rust" seven
install_component "$built" "$out/seven.wasm"

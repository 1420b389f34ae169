#!/usr/bin/env bash
# Builds the components that the tests call (tests/plugins) into target/test-plugins: conformance, kinds, probe.
#
# usage: build-test-plugins.sh [OUT_DIR]
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/components.sh
source "$root/scripts/lib/components.sh"

out=${1:-$root/target/test-plugins}
use_wasm_toolchain
mkdir -p "$out"
for name in conformance kinds probe; do
    build_component "$root/tests/plugins/$name" "$name"
    install_component "$built" "$out/$name.wasm"
done

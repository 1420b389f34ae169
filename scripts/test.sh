#!/usr/bin/env bash
# Builds everything and runs all tests: of the host, and end to end with real plugins, real MCP clients and the official conformance suite.
#
#     scripts/test.sh
#
# usage: test.sh [OPTIONS OF cargo nextest run]        (such as: test.sh reload)
#
# Needs Rust by rustup, Node 20 or later with npm, and Python 3.11 or later with venv. What is not there besides (the WebAssembly target, the clients,
# cargo-nextest) is installed into ${XDG_CACHE_HOME:-~/.cache}/toolbay.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
say() { printf 'test: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs, then run this again"
for tool in node npm python3; do
    command -v "$tool" >/dev/null || die "$tool is missing: the real MCP clients need Node 20 and Python 3.11 (Debian: apt-get install nodejs npm python3-venv)"
done

say "1 of 5: the MCP clients and servers, the conformance suite, ONNX Runtime"
TOOLBAY_LAB=$("$root/scripts/lab.sh" | tail -n 1)
export TOOLBAY_LAB
"$root/scripts/onnxruntime.sh" >/dev/null
"$root/scripts/sentences.sh" >/dev/null

# An engine for the tests of containers, and images for it. Where there is none, those tests say so.
images=$("$root/scripts/test-images.sh" "$TOOLBAY_LAB")
while IFS='=' read -r name value; do
    [ -z "$name" ] || export "$name=$value"
done <<<"$images"

say "2 of 5: the host and its tests (from nothing some 10 minutes on two cores)"
cargo build --release --locked --workspace --all-targets
say "3 of 5: the plugins that ship, and what of them can be tested without a host"
"$root/scripts/build-plugins.sh" --toolbay "$root/target/release/toolbay"
host=$(rustc -vV | sed -n 's/^host: //p')
for plugin in injection redact translator classifier shared/http-get shared/json-skim; do
    (cd "plugins/$plugin" && cargo test --quiet --locked --target "$host" --target-dir "$root/target/plugin-tests")
done
(cd sdk/rust && cargo test --quiet --locked --target "$host" --target-dir "$root/target/plugin-tests")
(cd examples/author/rust && cargo test --quiet --locked --target "$host" --target-dir "$root/target/plugin-tests")
say "4 of 5: the plugins that only tests use"
"$root/scripts/build-test-plugins.sh"

say "5 of 5: the tests"
# shellcheck source=scripts/lib/nextest.sh
source "$root/scripts/lib/nextest.sh"
find_nextest
# Generated inputs are the same in each run, so that a change fails for what it changed. `just soak` tries others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}
[ -z "${CI:-}" ] || export NEXTEST_PROFILE=${NEXTEST_PROFILE:-ci}
rm -rf target/author-times
status=0
cargo nextest run --release --locked --workspace "$@" || status=$?
if [ -d target/author-times ]; then
    say "an author's day, beside all other tests: seconds from an empty folder to a live tool, and from an edit to the next call"
    { printf 'language\tkind\tnew to live\tedit to live\n'; cat target/author-times/*; } | awk -F '\t' '{ printf "%-10s %-6s %12s %13s\n", $1, $2, $3, $4 }' >&2
fi
exit "$status"

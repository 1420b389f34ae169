#!/usr/bin/env bash
# Format, lints, documentation, licences and bans. Every warning is an error.
#
#     scripts/lint.sh
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
say() { printf 'lint: %s\n' "$*" >&2; }

say "1 of 5: format"
cargo fmt --all --check
for manifest in plugins/*/Cargo.toml plugins/shared/*/Cargo.toml tests/plugins/*/Cargo.toml sdk/rust/*/Cargo.toml examples/author/rust/Cargo.toml benches/peers/component/Cargo.toml; do
    [ ! -f "$manifest" ] || cargo fmt --manifest-path "$manifest" --check
done

say "2 of 5: lints"
# In the release profile, as all that is built here: build scripts and macros of the dependencies are compiled once.
cargo clippy --release --locked --workspace --all-targets -- -D warnings

say "3 of 5: documentation"
python3 scripts/check-docs.py
python3 scripts/check-words.py
# Of what counts and prints the comparison with others: nothing of them is installed for it.
python3 -B -m unittest discover -q -s benches/peers
RUSTDOCFLAGS=-Dwarnings cargo doc --release --locked --workspace --no-deps --quiet

say "4 of 5: deployment files"
scripts/check-deploy.sh

say "5 of 5: licences, bans, sources"
tools=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay
PATH=$PATH:$tools/bin
if ! command -v cargo-deny >/dev/null; then
    say "compiling cargo-deny into $tools/bin (once, some 2 minutes on two cores)"
    cargo install --quiet --locked --debug --root "$tools" cargo-deny
fi
cargo deny --log-level error check bans licenses sources
say "all is well"

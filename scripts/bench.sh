#!/usr/bin/env bash
# Builds everything and compares Toolbay with the least that such a server can cost: one run, one table.
#
#     scripts/bench.sh             some 11 minutes
#     scripts/bench.sh --quick     some 4 minutes, less sure
#
# What is measured is what is shipped, as scripts/dist.sh builds it, and what it is compared with is built in the same way. That takes some 30 minutes;
# `--profile release` takes the build of every day. The other build of Toolbay has a row where it is there already.
#
# usage: bench.sh [--profile dist|release] [OPTIONS OF toolbay-bench run]        (--help shows them; docs/benchmarks.md explains the table)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'bench: %s\n' "$*" >&2; }

profile=dist
if [ "${1:-}" = --profile ]; then
    profile=${2:?--profile needs a name}
    shift 2
fi
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
case $profile in
dist)
    toolbay=$("$root/scripts/dist.sh" --bench)
    other=$target/release/toolbay other_name='profile release'
    ;;
release)
    say "building, profile release (the first time some minutes)"
    # All of the workspace, as scripts/test.sh builds it: alone, a package has its dependencies with other features, and each is compiled again.
    cargo build --release --locked --workspace
    toolbay=$target/release/toolbay
    other=$target/dist/laid-out/toolbay other_name='as shipped'
    ;;
*)
    say "there is no profile $profile here: dist or release"
    exit 2
    ;;
esac

"$root/scripts/build-plugins.sh" --toolbay "$toolbay" "$root/dist/plugins"
if command -v npm >/dev/null && command -v python3 >/dev/null; then
    "$root/benches/interpreters/build.sh" "$toolbay"
else
    say "npm and python3 are not both there: no rows for plugins in JavaScript and Python"
fi
# Bridges that people use, to compare with: installed once, from PyPI and npm, at the versions of the lists in benches/. The folder's name is a list's digest.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/bench
others=()
for bridge in mcp-proxy:benches/requirements.txt mcpo:benches/requirements-mcpo.txt; do
    name=${bridge%%:*} list=${bridge#*:}
    folder=$cache/$(sha256sum <"$list" | cut -c1-16)
    if [ ! -e "$folder/ready" ]; then
        say "installing $name into $folder (once)"
        python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$list" && touch "$folder/ready"
    fi
    others+=("--$name" "$folder/bin/$name")
done
if command -v node >/dev/null && command -v npm >/dev/null; then
    folder=$cache/$(cat benches/supergateway/*.json | sha256sum | cut -c1-16)
    if [ ! -e "$folder/ready" ]; then
        say "installing supergateway into $folder (once)"
        mkdir -p "$folder"
        cp benches/supergateway/*.json "$folder"
        # Nothing in the tree needs its install scripts, so none runs.
        (cd "$folder" && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error) >&2
        touch "$folder/ready"
    fi
    others+=(--supergateway "$folder/node_modules/.bin/supergateway")
else
    say "node and npm are not both there: no row for supergateway"
fi
say "measuring: keep the machine quiet"
[ ! -x "$other" ] || others+=(--other "$other" --other-name "$other_name")
exec "$(dirname "$toolbay")/toolbay-bench" run --toolbay "$toolbay" "${others[@]}" "$@"

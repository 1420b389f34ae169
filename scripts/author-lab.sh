#!/usr/bin/env bash
# usage: scripts/author-lab.sh [--print]
#
# Installs what plugins in JavaScript, TypeScript and Python are built with, for the tests: from the lock files in tests/authors, into one folder of the
# cache, whose name is a digest of them. The last line printed is the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

digest=$(cat tests/authors/package.json tests/authors/package-lock.json tests/authors/requirements.txt | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/author-lab
lab=$cache/$digest

if [ "${1:-}" = --print ] || [ -e "$lab/ready" ]; then
  echo "$lab"
  exit 0
fi

for tool in node npm python3 flock; do
  command -v "$tool" >/dev/null || { echo "author-lab: $tool is missing; it needs Node 20, npm, Python 3.11 and util-linux" >&2; exit 2; }
done

mkdir -p "$lab"
exec 9>"$cache/lock"
flock 9 # Somebody else may be installing the same: wait, then look again.
if [ ! -e "$lab/ready" ]; then
  echo "author-lab: installing esbuild, componentize-qjs and componentize-py into $lab (once, some 20 seconds)" >&2
  cp tests/authors/package.json tests/authors/package-lock.json "$lab/"
  (cd "$lab" && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error) >&2
  rm -rf "$lab/python"
  python3 -m venv "$lab/python" || { echo "author-lab: python3 has no venv module: apt-get install python3-venv" >&2; exit 2; }
  "$lab/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/authors/requirements.txt >&2
  touch "$lab/ready"
fi
echo "$lab"

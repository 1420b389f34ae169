#!/usr/bin/env bash
# usage: scripts/lab.sh [--print] [clients|authors]
#
# Installs what the tests run beside Toolbay, from the lock files of a folder of tests/:
#   clients  the official MCP conformance suite, real MCP clients and servers from npm and PyPI, and the Node 24 that some of them want (the default)
#   authors  what plugins in JavaScript, TypeScript and Python are built with
# Everything goes into one folder of the cache, whose name is a digest of the lock files: a second run finds it and returns at once, and two checkouts
# with other versions do not disturb each other. The last line printed is the folder; with --print nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

print=
[ "${1:-}" = --print ] && print=1 && shift
list=${1:-clients}
# Python environments, each `FOLDER:LOCK FILE`. Those of `beside` have a digest of their own, so that a change of one does not install all anew.
case $list in
  clients) name=lab about="about 2 minutes" venvs=(python:requirements.txt converters:converters.txt) beside=(tutorial:tutorial.txt envoy:envoy.txt) ;;
  authors) name=author-lab about="some 20 seconds" venvs=(python:requirements.txt) beside=() ;;
  *) echo "lab: there is no list $list: give clients or authors" >&2; exit 2 ;;
esac
from=tests/$list

sources=("$from/package.json" "$from/package-lock.json")
for venv in "${venvs[@]}"; do sources+=("$from/${venv#*:}"); done
digest=$(cat "${sources[@]}" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/$name
lab=$cache/$digest

own() { sha256sum "$from/${1#*:}" | cut -c1-16; }
complete() {
  [ -e "$lab/ready" ] || return 1
  for venv in ${beside[@]+"${beside[@]}"}; do
    [ "$(cat "$lab/${venv%%:*}/ready" 2>/dev/null)" = "$(own "$venv")" ] || return 1
  done
}

if [ -n "$print" ] || complete; then
  echo "$lab"
  exit 0
fi

say() { echo "lab: $*" >&2; }
for tool in node npm python3 flock; do
  command -v "$tool" >/dev/null || { say "$tool is missing; the end-to-end tests need Node 20, npm, Python 3.11 and util-linux"; exit 2; }
done

install() { # FOLDER:LOCK FILE
  say "installing the Python packages of $from/${1#*:}"
  rm -rf "$lab/${1%%:*}"
  python3 -m venv "$lab/${1%%:*}" || { say "python3 has no venv module: apt-get install python3-venv"; exit 2; }
  "$lab/${1%%:*}/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$from/${1#*:}" >&2
}

mkdir -p "$lab"
exec 9>"$cache/lock"
flock 9 # Somebody else may be installing the same: wait, then look again.
if [ ! -e "$lab/ready" ]; then
  say "installing the packages of $from into $lab (once, $about)"
  cp "$from/package.json" "$from/package-lock.json" "$lab/"
  # Nothing in the tree needs its install scripts, so none runs. The inspector's part for browsers is large, and left alone.
  (cd "$lab" && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error) >&2
  for venv in "${venvs[@]}"; do install "$venv"; done
  touch "$lab/ready"
fi
for venv in ${beside[@]+"${beside[@]}"}; do
  if [ "$(cat "$lab/${venv%%:*}/ready" 2>/dev/null)" != "$(own "$venv")" ]; then
    install "$venv"
    own "$venv" > "$lab/${venv%%:*}/ready"
  fi
done
echo "$lab"

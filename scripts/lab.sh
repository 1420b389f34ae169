#!/usr/bin/env bash
# usage: scripts/lab.sh [--print]
#
# Installs what the tests run beside Toolbay: the official MCP conformance suite, real MCP clients and servers from npm and PyPI, and the Node 24 that
# some of them want. Everything comes from the lock files in tests/clients and goes into one folder of the cache, whose name is a digest of them: a
# second run finds it and returns at once, and two checkouts with other versions do not disturb each other. The last line printed is the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=(tests/clients/package.json tests/clients/package-lock.json tests/clients/requirements.txt tests/clients/converters.txt)
digest=$(cat "${sources[@]}" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/lab
lab=$cache/$digest

# The Python SDK that the tutorials pin is beside the rest, so that it does not install all of that anew.
tutorial=$(sha256sum tests/clients/tutorial.txt | cut -c1-16)
if [ "${1:-}" = --print ] || [ "$(cat "$lab/tutorial/ready" 2>/dev/null)" = "$tutorial" ]; then
  echo "$lab"
  exit 0
fi

for tool in node npm python3 flock; do
  command -v "$tool" >/dev/null || { echo "lab: $tool is missing; the end-to-end tests need Node 20, npm, Python 3.11 and util-linux" >&2; exit 2; }
done

mkdir -p "$lab"
exec 9>"$cache/lock"
flock 9 # Somebody else may be installing the same: wait, then look again.
if [ ! -e "$lab/ready" ]; then
  say() { echo "lab: $*" >&2; }
  say "installing the MCP clients, servers and the conformance suite into $lab (once, about 2 minutes)"
  cp tests/clients/package.json tests/clients/package-lock.json "$lab/"
  # Nothing in the tree needs its install scripts, so none runs. The inspector's part for browsers is large, and left alone.
  (cd "$lab" && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error) >&2
  say "installing the Python clients and servers"
  rm -rf "$lab/python"
  python3 -m venv "$lab/python" || { say "python3 has no venv module: apt-get install python3-venv"; exit 2; }
  "$lab/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/clients/requirements.txt >&2
  say "installing the Python SDK 1.x and the tool converters of OpenAI, Google and Anthropic"
  rm -rf "$lab/converters"
  python3 -m venv "$lab/converters"
  "$lab/converters/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/clients/converters.txt >&2
  touch "$lab/ready"
fi
if [ "$(cat "$lab/tutorial/ready" 2>/dev/null)" != "$tutorial" ]; then
  echo "lab: installing the Python SDK of the tutorials" >&2
  rm -rf "$lab/tutorial"
  python3 -m venv "$lab/tutorial"
  "$lab/tutorial/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/clients/tutorial.txt >&2
  echo "$tutorial" > "$lab/tutorial/ready"
fi
echo "$lab"

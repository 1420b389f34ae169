#!/usr/bin/env bash
# usage: scripts/clients-try.sh [TOOLBAY]        ($TOOLBAY or target/release/toolbay otherwise)
#
# Has the command-line clients that are on npm connect to a server with a token, each by what `toolbay connect` prints for it: Claude Code, Codex,
# Gemini CLI, opencode. Needs no account. The clients take some 1.1 GB below the cache, so this is run by hand and not in CI.
set -euo pipefail
cd "$(dirname "$0")/.."

toolbay=$(realpath "${1:-${TOOLBAY:-target/release/toolbay}}")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/clients
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
say() { printf 'clients: %s\n' "$*" >&2; }

mkdir -p "$cache"
if [ ! -e "$cache/ready" ]; then
    say "installing the clients into $cache (once, some 1.1 GB)"
    (cd "$cache" && npm init -y >/dev/null && npm install --no-audit --no-fund --loglevel=error \
        @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai >&2)
    touch "$cache/ready"
fi

export HOME=$work/home PATH=$cache/node_modules/.bin:$PATH TOOLS_TOKEN=try-0123456789abcdef GEMINI_CLI_TRUST_WORKSPACE=true NO_COLOR=1
mkdir -p "$HOME/.codex" "$work/project/.gemini" "$work/plugins"
cp dist/plugins/calculator.wasm "$work/plugins/"
printf '[auth.tokens]\nme = { from_env = "TOOLS_TOKEN" }\n' >"$work/toolbay.toml"
"$toolbay" serve --config "$work/toolbay.toml" --plugins "$work/plugins" --listen 127.0.0.1:0 >"$work/out" 2>"$work/log" &
server=$!
for _ in $(seq 600); do
    url=$(grep -o 'http://127.0.0.1:[0-9]*/mcp' "$work/out" | head -n 1 || true)
    [ -z "$url" ] || break
    sleep 0.1
done
[ -n "${url:-}" ] || { cat "$work/log" >&2; exit 1; }
cd "$work/project"

failed=0
expect() { # CLIENT WORDS COMMAND...: what the client says has the words in it
    local client=$1 words=$2 said
    shift 2
    said=$(timeout 120 "$@" 2>&1 || true)
    if grep -q "$words" <<<"$said"; then
        say "$client $("${client%% *}" --version 2>/dev/null | tail -n 1): $words"
    else
        say "$client did not say \"$words\":"
        printf '%s\n' "$said" >&2
        failed=1
    fi
}
connect() { "$toolbay" connect "$@" --url "$url" --token-env TOOLS_TOKEN 2>/dev/null; }
# The client's own command, as it stands beside the snippet.
own() { "$toolbay" connect "$@" --url "$url" --token-env TOOLS_TOKEN 2>&1 >/dev/null | sed -n 's/^# or run: //p'; }

eval "$(own claude-code | sed 's/ --scope project//')" >/dev/null
expect claude Connected claude mcp list
connect claude-code >.mcp.json
expect "claude (.mcp.json)" "$url" claude mcp get toolbay

connect codex >"$HOME/.codex/config.toml"
expect codex "$url" codex mcp get toolbay
rm "$HOME/.codex/config.toml"
eval "$(own codex)" >/dev/null 2>&1
expect "codex (mcp add)" TOOLS_TOKEN codex mcp list

connect gemini >.gemini/settings.json
expect gemini Connected gemini mcp list
rm .gemini/settings.json
eval "$(own gemini)" >/dev/null 2>&1
expect "gemini (mcp add)" Connected gemini mcp list

connect opencode >opencode.json
expect opencode connected opencode mcp list
connect opencode --stdio >opencode.json
expect "opencode (stdio)" connected opencode mcp list
exit $failed

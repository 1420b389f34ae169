#!/usr/bin/env bash
# Tries the README's first command on a fresh Debian: a minimal system in a folder, a new user, the committed files, and nothing else of this machine.
#
#     sudo scripts/fresh.sh
#
# usage: fresh.sh [--suite SUITE] [--test] [--keep]
#
#   --suite   Debian's release (default: trixie)
#   --test    run scripts/test.sh inside as well (an hour or more on two cores)
#   --keep    leave the folder for a look, and print its name
#
# It measures the time from the command to the first answer, calls a tool of each bundled plugin that needs no network, and prints both. It needs root,
# debootstrap (or mmdebstrap), and some 10 GB in ${TMPDIR:-/tmp}.
#
# What the network here needs is passed on by environment, and kept nowhere: http_proxy, https_proxy, no_proxy, PIP_*, npm_config_*, CARGO_*, RUSTUP_*
# (not the folders of this machine), and
#
#   TOOLBAY_FRESH_MIRROR      Debian's mirror (default: http://deb.debian.org/debian)
#   TOOLBAY_FRESH_CA          a file of certificates to trust as well
#   TOOLBAY_FRESH_RUST        where rustup can't be reached: a toolchain's folder (such as $(rustc --print sysroot)), which is then used in place of rustup's
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'fresh: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

suite=trixie test=false keep=false
while [ $# -gt 0 ]; do
    case $1 in
    --suite)
        suite=${2:?--suite needs the name of a release}
        shift
        ;;
    --test) test=true ;;
    --keep) keep=true ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *) die "unknown option $1; see --help" ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || die "this makes a system in a folder and needs root: sudo scripts/fresh.sh"
mirror=${TOOLBAY_FRESH_MIRROR:-http://deb.debian.org/debian}

work=$(mktemp -d "${TMPDIR:-/tmp}/toolbay-fresh-XXXXXX")
system=$work/system
server=
clean() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    local mount
    for mount in opt/rust dev/pts dev/shm dev proc sys; do
        ! mountpoint -q "$system/$mount" || umount -l "$system/$mount"
    done
    if $keep; then
        say "the system is left in $system"
    else
        rm -rf --one-file-system "$work"
    fi
}
trap clean EXIT

say "1 of 4: a minimal Debian $suite"
if command -v debootstrap >/dev/null; then
    debootstrap --variant=minbase "$suite" "$system" "$mirror" >"$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        die "debootstrap failed"
    }
elif command -v mmdebstrap >/dev/null; then
    mmdebstrap --quiet --variant=minbase "$suite" "$system" "$mirror"
else
    die "debootstrap is missing (Debian: apt-get install debootstrap)"
fi
mount --bind /dev "$system/dev"
mount -t proc proc "$system/proc"
mount -t sysfs -o ro sysfs "$system/sys"
cp -L /etc/resolv.conf "$system/etc/resolv.conf"
cp -L /etc/hosts "$system/etc/hosts"

# The network's variables, and none of this machine's folders.
variables=()
while IFS='=' read -r -d '' name value; do
    case $name in
    CARGO_HOME | RUSTUP_HOME | CARGO_TARGET_DIR | CARGO_MANIFEST_DIR | CARGO_PKG_* | PIP_CERT | PIP_FIND_LINKS) ;;
    http_proxy | https_proxy | no_proxy | HTTP_PROXY | HTTPS_PROXY | NO_PROXY | PIP_* | npm_config_* | CARGO_* | RUSTUP_* | TOOLBAY_WASM_TOOLCHAIN)
        variables+=("$name=$value")
        ;;
    esac
done < <(env -0)
inside() { chroot "$system" env -i LANG=C.UTF-8 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${variables[@]}" "$@"; }
rust_path=/home/user/.cargo/bin
[ -z "${TOOLBAY_FRESH_RUST:-}" ] || rust_path=/opt/rust/bin
as_user() {
    chroot --userspec=1000:1000 "$system" env -i LANG=C.UTF-8 HOME=/home/user USER=user "PATH=$rust_path:/usr/local/bin:/usr/bin:/bin" \
        "${variables[@]}" "$@"
}

say "2 of 4: what the README asks for"
inside apt-get update -qq
packages=(build-essential ca-certificates curl python3)
! $test || packages+=(nodejs npm python3-venv)
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$work/apt.log" 2>&1 || {
    tail -n 20 "$work/apt.log" >&2
    die "apt-get failed"
}
if [ -n "${TOOLBAY_FRESH_CA:-}" ]; then
    # One certificate a file, as Debian wants them.
    csplit -sz -f "$work/ca-" "$TOOLBAY_FRESH_CA" '/-----BEGIN CERTIFICATE-----/' '{*}'
    for certificate in "$work"/ca-*; do
        ! grep -q 'BEGIN CERTIFICATE' "$certificate" || cp "$certificate" "$system/usr/local/share/ca-certificates/$(basename "$certificate").crt"
    done
    inside update-ca-certificates >/dev/null 2>&1
    # Those that bring their own list of authorities.
    bundle=/etc/ssl/certs/ca-certificates.crt
    variables+=("PIP_CERT=$bundle" "SSL_CERT_FILE=$bundle" "NODE_EXTRA_CA_CERTS=$bundle" "CARGO_HTTP_CAINFO=$bundle")
fi
inside useradd --create-home --uid 1000 --shell /bin/bash user
if [ -n "${TOOLBAY_FRESH_RUST:-}" ]; then
    mkdir -p "$system/opt/rust"
    mount --bind -o ro "$TOOLBAY_FRESH_RUST" "$system/opt/rust"
else
    as_user bash -c 'curl --proto =https --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal' >"$work/rustup.log" 2>&1 || {
        tail -n 20 "$work/rustup.log" >&2
        die "rustup can't be installed; where it can't be reached, TOOLBAY_FRESH_RUST names a toolchain's folder"
    }
fi
as_user mkdir /home/user/toolbay
git -C "$root" archive HEAD | tar -x -C "$system/home/user/toolbay"
chown -R 1000:1000 "$system/home/user/toolbay"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
say "3 of 4: ./scripts/serve.sh"
started=$SECONDS
as_user bash -c "cd ~/toolbay && exec ./scripts/serve.sh --listen 127.0.0.1:$port" >"$work/serve.log" 2>&1 &
server=$!
until [ "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" = 200 ]; do
    if ! kill -0 "$server" 2>/dev/null; then
        tail -n 40 "$work/serve.log" >&2
        server=
        die "serve.sh ended after $((SECONDS - started)) s"
    fi
    sleep 1
done
say "ready $((SECONDS - started)) s after the command, with $(nproc) cores"

say "4 of 4: a call of each plugin"
failed=0
try() {
    local tool=$1 arguments=$2 wanted=$3 got
    if got=$(as_user /home/user/toolbay/target/release/toolbay call "$tool" "$arguments" --url "$url/mcp" 2>&1) && [[ $got == *"$wanted"* ]]; then
        say "ok      $tool: $(head -c 100 <<<"$got" | tr '\n' ' ')"
    else
        say "FAILED  $tool: $got"
        failed=1
    fi
}
try add '{"a": 1, "b": 2}' 3
try slugify '{"text": "Hello, World!"}' hello-world
try translate '{"text": "The table is at the office."}' 'La table est au bureau.'
# The others need the internet. That they are served, and have their model, is what counts here.
status=$(curl -s "$url/status")
if python3 - "$status" <<'PYTHON'; then
import json, sys
status = json.loads(sys.argv[1])
text = json.dumps(status)
problems = [entry for key in ("plugins", "models") for entry in status.get(key, []) if entry.get("error")]
sys.exit(f"problems in /status: {problems}" if problems or "vit-tiny" not in text or "t5-tiny" not in text else 0)
PYTHON
    say "ok      /status: no plugin and no model has an error"
else
    failed=1
fi
kill "$server"
wait "$server" || true
server=
if $test; then
    say "scripts/test.sh"
    as_user bash -c 'cd ~/toolbay && ./scripts/test.sh' || failed=1
fi
[ "$failed" = 0 ] || die "something failed: see above"
say "all is well"

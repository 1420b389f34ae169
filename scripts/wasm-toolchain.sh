#!/usr/bin/env bash
# Finds, or makes, a Rust toolchain that builds for WebAssembly, and prints on stdout the shell lines that switch to it:
#
#     eval "$(scripts/wasm-toolchain.sh)"
#     cargo build --release --target wasm32-wasip2
#
# The choice, in this order:
#   1. the active toolchain, where it has the targets;
#   2. Debian's packages, where TOOLBAY_WASM_TOOLCHAIN=debian is set, or where rustup is missing, fails, or cannot reach its server: that is found out
#      within half a minute;
#   3. else `rustup target add`.
#
# Debian ships the standard library as source only: it is compiled once per target, about a minute each, into
# ${XDG_CACHE_HOME:-~/.cache}/toolbay, and found there from then on. What it says while it works goes to stderr.
#
# usage: wasm-toolchain.sh [TARGET...]        (default: wasm32-unknown-unknown wasm32-wasip2)
set -euo pipefail
shopt -s inherit_errexit

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(wasm32-unknown-unknown wasm32-wasip2)

packages=(rustc-web cargo-web rust-web-src wasi-libc)
rustup_line="rustup target add ${targets[*]}"
# Where rustup downloads from, as it decides that itself.
rustup_server=${RUSTUP_DIST_SERVER:-https://static.rust-lang.org}
# Seconds for that server to answer. rustup itself tries for minutes where there is no way to it.
patience=30
# Seconds for the download: some 60 MB, on a slow line too.
download=300

say() { printf 'wasm-toolchain: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# Whether the rustc named first has the standard library of every target that was asked for.
has_targets() {
    local rustc=$1 target libdir
    for target in "${targets[@]}"; do
        libdir=$("$rustc" --print target-libdir --target "$target" 2>/dev/null) || return 1
        compgen -G "$libdir/libstd-*.rlib" >/dev/null || return 1
    done
}

# Whether there is a way to where rustup downloads from: by a file that its server always has. A proxy on the way may answer in its place, and refuse.
# Without a program to ask with, rustup has to find out by itself.
rustup_server_answers() {
    local file=$rustup_server/dist/channel-rust-stable.toml.sha256 status
    case $rustup_server in
    http://* | https://*) ;;
    *) return 0 ;; # a folder
    esac
    if command -v curl >/dev/null; then
        status=$(curl --silent --head --location --output /dev/null --write-out '%{http_code}' --max-time "$patience" "$file") || return 1
        # 404: a mirror that has something else.
        case $status in
        2?? | 404) ;;
        *) return 1 ;;
        esac
    elif command -v wget >/dev/null; then
        wget --quiet --spider --tries=1 --timeout="$((patience / 2))" "$file"
    fi
}

# rustup, ended if it takes too long: `timeout` is not on every machine.
add_targets() {
    local limit=()
    if command -v timeout >/dev/null; then
        limit=(timeout --kill-after=5 "$download")
    fi
    RUSTUP_MAX_RETRIES=${RUSTUP_MAX_RETRIES:-1} "${limit[@]}" rustup target add "${targets[@]}" >&2
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo. Run as root: $*"
    fi
}

install_packages() {
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing Debian's ${missing[*]} (a minute or so)"
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
        die "apt-get could not install ${missing[*]}. With a network that reaches static.rust-lang.org, this does it too: $rustup_line"
}

# The folder with wasm-component-ld and wasm-ld, which every toolchain of rustup brings along, the active one first.
find_linkers() {
    local host=$1 dir
    for dir in "$(rustc --print sysroot 2>/dev/null || true)" "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*; do
        if [ -x "$dir/lib/rustlib/$host/bin/wasm-component-ld" ]; then
            echo "$dir/lib/rustlib/$host/bin"
            return
        fi
    done
    return 1
}

# Compiles the standard library for one target, into a folder that gets its real name only when it is whole.
make_target() {
    local dir=$1 target=$2 work lib
    say "compiling Rust's standard library for $target (a minute or two, once)"
    work=$(mktemp -d "$dir/.work.XXXXXX")
    mkdir -p "$work/crate/src"
    printf '#![no_std]\n' >"$work/crate/src/lib.rs"
    printf '[package]\nname = "stdonly"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/crate/Cargo.toml"
    (
        cd "$work/crate"
        unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTUP_TOOLCHAIN
        # RUSTC_BOOTSTRAP: -Z build-std is for nightly only, and Debian has no nightly.
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/target" RUSTFLAGS="-Cembed-bitcode=yes" \
            /usr/bin/cargo build --quiet --release -Z build-std=std,panic_abort --target "$target" >&2
    ) || {
        rm -rf "$work"
        die "the standard library for $target did not compile with Debian's rustc; the messages are above"
    }
    lib="$work/out/lib"
    mkdir -p "$lib/self-contained"
    find "$work/target/$target/release/deps" -name '*.rlib' ! -name 'libstdonly-*' -exec cp {} "$lib/" \;
    case $target in
    *wasip*) cp /usr/lib/wasm32-wasi/*.a /usr/lib/wasm32-wasi/crt1*.o "$lib/self-contained/" ;;
    esac
    rm -rf "$dir/lib/rustlib/$target"
    mv "$work/out" "$dir/lib/rustlib/$target"
    rm -rf "$work"
}

# Makes a toolchain folder out of Debian's rustc, or adds to it what it lacks, and prints its path.
debian_toolchain() {
    local cache host version dir linkers target tool
    command -v apt-get >/dev/null || die "the Wasm targets are missing, and this is no Debian to take them from. Try: $rustup_line"
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay
    mkdir -p "$cache"
    # One at a time: a second call waits here, and then finds the work done.
    exec 9>"$cache/wasm-toolchain.lock"
    if ! flock --nonblock 9; then
        say "waiting for another one that makes the toolchain"
        flock 9
    fi
    install_packages
    host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
    version=$(dpkg-query -W -f '${Version}' rustc-web | tr -c 'A-Za-z0-9.\n' '-')
    dir=$cache/wasm-rustc-$version-$host
    linkers=$(find_linkers "$host") ||
        die "no wasm-component-ld found. It comes with every toolchain of rustup: install one from https://rustup.rs"
    rm -rf "$dir"/.work.*
    mkdir -p "$dir/bin" "$dir/lib/rustlib/$host"
    ln -sfn "/usr/lib/rustlib/$host/lib" "$dir/lib/rustlib/$host/lib"
    ln -sfn "$linkers" "$dir/lib/rustlib/$host/bin"
    ln -sfn /usr/lib/rustlib/src "$dir/lib/rustlib/src"
    for tool in rustc rustdoc; do
        printf '#!/bin/sh\nexec /usr/bin/%s --sysroot "%s" "$@"\n' "$tool" "$dir" >"$dir/bin/.$tool"
        chmod +x "$dir/bin/.$tool"
        mv "$dir/bin/.$tool" "$dir/bin/$tool"
    done
    ln -sfn /usr/bin/cargo "$dir/bin/cargo"
    for target in "${targets[@]}"; do
        compgen -G "$dir/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null || make_target "$dir" "$target"
    done
    echo "$dir"
}

if has_targets rustc; then
    exit 0 # the toolchain in use will do: there is nothing to switch
fi
if [ "${TOOLBAY_WASM_TOOLCHAIN:-}" != debian ] && command -v rustup >/dev/null; then
    if ! rustup_server_answers; then
        say "rustup cannot add the targets, since $rustup_server does not let us in within $patience s; trying Debian's packages"
    else
        say "$rustup_line"
        if add_targets && has_targets rustc; then
            exit 0
        fi
        say "rustup could not do it; trying Debian's packages"
    fi
fi
dir=$(debian_toolchain)
has_targets "$dir/bin/rustc" || die "the toolchain in $dir is not whole: delete that folder and start again"
# shellcheck disable=SC2016 # $PATH is for who evaluates this
printf 'unset RUSTC RUSTUP_TOOLCHAIN\nexport PATH=%q:"$PATH"\n' "$dir/bin"

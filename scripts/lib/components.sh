# shellcheck shell=bash
# shellcheck disable=SC2154  # root: set by who sources this
# What the scripts that build components share. `root` is the repository's folder.

# Beside what cargo builds for the host, so that neither throws the other's work away.
wasm_target_dir=$root/target/wasm

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

# Switches to a toolchain that has the Wasm targets.
use_wasm_toolchain() {
    local switch
    switch=$("$root/scripts/wasm-toolchain.sh")
    eval "$switch"
    # Flags that are meant for the host's processor do not fit here.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
}

# build_component FOLDER NAME [CRATE]: compiles the crate for the target that .cargo/config.toml names, and sets `built` to a copy of the component
# that may be changed.
build_component() {
    local folder=$1 name=$2 crate=${3:-$2} target stage
    target=$(sed -n 's/^target = "\(.*\)"$/\1/p' "$folder/.cargo/config.toml")
    say "building $name for $target"
    (cd "$folder" && cargo build --quiet --release --locked --package "$crate" --target "$target" --target-dir "$wasm_target_dir") >&2
    stage=$wasm_target_dir/stage
    mkdir -p "$stage"
    built=$stage/$name.wasm
    cp "$wasm_target_dir/$target/release/${crate//-/_}.wasm" "$built"
}

# find_toolbay: sets `toolbay` to the host's binary, if there is one: as it was told, from $TOOLBAY, or where cargo puts it.
find_toolbay() {
    toolbay=${toolbay:-${TOOLBAY:-}}
    if [ -z "$toolbay" ] && [ -x "$root/target/release/toolbay" ]; then
        toolbay=$root/target/release/toolbay
    fi
    [ -n "$toolbay" ] || say "no toolbay binary yet: plain functions go without their descriptions (--toolbay names one)"
}

# embed_docs COMPONENT FOLDER: writes the doc comments of the folder's WIT files into the component. Compilers leave them out.
embed_docs() {
    [ -n "$toolbay" ] && [ -d "$2/wit" ] || return 0
    "$toolbay" embed-docs "$1" --wit "$2/wit" >&2
}

# install_component FROM TO: replaces the file in one step, and only if it is another one: who watches the folder sees whole files, and no idle changes.
install_component() {
    local from=$1 to=$2 part
    if [ -f "$to" ] && cmp -s "$from" "$to"; then
        return
    fi
    part=$(dirname "$to")/.$(basename "$to").part
    cp "$from" "$part"
    mv -f "$part" "$to"
    say "$to ($(wc -c <"$to") bytes)"
}

# install_sidecar FROM TO: as above, but a file that somebody edited stays as it is.
install_sidecar() {
    local from=$1 to=$2 last
    last=$wasm_target_dir/stage/$(basename "$to")
    if [ -f "$to" ] && ! cmp -s "$from" "$to" && ! { [ -f "$last" ] && cmp -s "$last" "$to"; }; then
        say "$to was edited and stays; the new one is $from"
        return
    fi
    install_component "$from" "$to"
    cp "$from" "$last"
}

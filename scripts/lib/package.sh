# shellcheck shell=bash
# shellcheck disable=SC2154  # root, binary, plugins and die: set by who sources this
# What the scripts that package Toolbay share. `root` is the repository's folder.

# The program and the plugins to put in: those that `binary` and `plugins` name, or built here where they are empty.
find_binary_and_plugins() {
    if [ -z "$binary" ]; then
        binary=$("$root/scripts/dist.sh")
    fi
    [ -x "$binary" ] || die "--binary $binary: there is no such program"
    if [ -z "$plugins" ]; then
        plugins=$root/dist/plugins
        "$root/scripts/build-plugins.sh" --toolbay "$binary" "$plugins"
    fi
    compgen -G "$plugins/*.wasm" >/dev/null || die "--plugins $plugins: no .wasm file is there"
}

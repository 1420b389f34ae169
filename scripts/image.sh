#!/usr/bin/env bash
# Builds a container image from what was built here: no base image is pulled, and nothing runs as root in it.
#
#     scripts/image.sh                         builds toolbay:VERSION with podman or docker
#     podman run -p 8000:8000 -e TOOLBAY_TOKEN=$(openssl rand -hex 16) --read-only --cap-drop=all -v toolbay-cache:/cache localhost/toolbay:0.1.0
#
# usage: image.sh [--tag TAG] [--engine podman|docker] [--binary FILE] [--plugins DIR] [--without-models] [--sbom FILE]
#
#   --tag TAG           the image's name (default: localhost/toolbay:VERSION)
#   --engine NAME       podman or docker (default: the first that is there)
#   --binary FILE       a binary that is there already; otherwise one of the profile `dist` is built
#   --plugins DIR       the folder of plugins to put in; otherwise the bundled ones are built
#   --without-models    without ONNX Runtime and the two tiny models (smaller by some 30 MB)
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
tag=localhost/toolbay:$version engine= binary= plugins= models=yes sbom=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --without-models) models= && shift && continue ;;
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
    library=$(readlink -f "$("$root/scripts/onnxruntime.sh" | tail -n 1)")
    install -D -m 755 "$library" "$image/usr/lib/toolbay/libonnxruntime.so"
    linked "$library"
    for model in t5-tiny vit-tiny; do
        mkdir -p "$image/opt/toolbay/models/$model"
        find "$root/models/$model" -maxdepth 1 \( -name '*.onnx' -o -name '*.json' \) -exec install -m 644 -t "$image/opt/toolbay/models/$model" {} +
    done
    environment='ENV ORT_DYLIB_PATH=/usr/lib/toolbay/libonnxruntime.so'
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

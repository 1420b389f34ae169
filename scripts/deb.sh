#!/usr/bin/env bash
# Builds a Debian package from what was built here: binary, systemd units, configuration, the plugins that need no model, docs, licences.
#
#     scripts/deb.sh                           builds dist/toolbay_VERSION_ARCH.deb
#     sudo apt install ./dist/toolbay_0.1.0_amd64.deb
#
# usage: deb.sh [--output DIR] [--binary FILE] [--plugins DIR] [--revision TEXT] [--maintainer TEXT] [--fast]
#
#   --output DIR        where the package goes (default: dist)
#   --binary FILE       a binary that is there already; otherwise scripts/dist.sh builds one
#   --plugins DIR       the folder of plugins to put in; otherwise the bundled ones are built
#   --revision TEXT     what follows the version, such as ~rc1 (default: nothing)
#   --maintainer TEXT   who answers for the package: "Name <address>" (default: of $DEBFULLNAME and $DEBEMAIL)
#   --fast              compresses little, for trying it out
#
# Needs dpkg-dev, which comes with build-essential. It is for Debian 12, Ubuntu 22.04 and later. The same inputs make the same package.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/package.sh
source "$root/scripts/lib/package.sh"
say() { printf 'deb: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

maintainer="${DEBFULLNAME:-Toolbay} <${DEBEMAIL:-toolbay@localhost.localdomain}>" compression=(-Zxz -z6)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
output=$root/dist binary='' plugins='' revision=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --fast) compression=(-Zgzip -z1) && shift && continue ;;
    --output | --binary | --plugins | --revision | --maintainer)
        [ $# -ge 2 ] || die "$1 needs a value; --help shows how"
        case $1 in --output) output=$2 ;; --binary) binary=$2 ;; --plugins) plugins=$2 ;; --revision) revision=$2 ;; --maintainer) maintainer=$2 ;; esac
        shift 2
        ;;
    *) die "unknown option $1; --help lists them" ;;
    esac
done
for tool in dpkg-deb dpkg-shlibdeps strip; do
    command -v "$tool" >/dev/null || die "$tool is missing (Debian: apt-get install dpkg-dev binutils)"
done

find_binary_and_plugins

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
package=$work/package
doc=$package/usr/share/doc/toolbay
# Of the commit, so that the same commit makes the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
date=$(LC_ALL=C date --utc --date="@$SOURCE_DATE_EPOCH" --rfc-email)

put() { install -D -m 644 "$1" "$package/$2"; }
install -D -m 755 "$binary" "$package/usr/bin/toolbay"
strip --strip-unneeded --remove-section=.comment "$package/usr/bin/toolbay"
put "$root/deploy/systemd/toolbay.service" lib/systemd/system/toolbay.service
put "$root/deploy/systemd/toolbay.socket" lib/systemd/system/toolbay.socket
# Their first lines say how to install them by hand.
sed -i '1,/^$/d' "$package/lib/systemd/system/toolbay.service" "$package/lib/systemd/system/toolbay.socket"
put "$root/deploy/debian/toolbay.sysusers" usr/lib/sysusers.d/toolbay.conf
put "$root/deploy/debian/toolbay.toml" etc/toolbay/toolbay.toml
for file in "$plugins"/*.wasm "$plugins"/*.toml; do
    case $(basename "$file") in
    # They need a model and ONNX Runtime.
    translator.* | classifier.*) ;;
    *) put "$file" "usr/share/toolbay/plugins/$(basename "$file")" ;;
    esac
done
put "$root/README.md" usr/share/doc/toolbay/README.md
put "$root/toolbay.toml" usr/share/doc/toolbay/examples/toolbay.toml
# With the plots of some pages, in folders of their own.
while read -r file; do
    put "$root/docs/$file" "usr/share/doc/toolbay/docs/$file"
done < <(cd "$root/docs" && find . -type f -printf '%P\n' | LC_ALL=C sort)
python3 "$root/scripts/sbom.py" --version "$version" >"$doc/sbom.cdx.json"
python3 "$root/scripts/licences.py" >"$doc/third-party-licences.txt"
cat >"$doc/copyright" <<C
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Toolbay
Comment:
 The program contains packages of others: third-party-licences.txt.gz has their
 licences, and sbom.cdx.json.gz their list (CycloneDX).

Files: *
Copyright: (C) $(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y) the authors of Toolbay
License: Apache-2.0
 On Debian systems, the text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
C
# A manual page of what the program says of itself.
mkdir -p "$package/usr/share/man/man1"
{
    printf '.TH TOOLBAY 1 "%s" "toolbay %s" "User Commands"\n' "$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%d)" "$version"
    cat "$root/deploy/debian/toolbay.1"
    printf '.SH COMMANDS\n'
    "$binary" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\)  *\(.*\)$/.TP\n.B \1\n\2/p' | sed 's/-/\\-/g'
} >"$package/usr/share/man/man1/toolbay.1"
gzip --best --no-name "$package/usr/share/man/man1/toolbay.1"
install -D -m 644 "$root/deploy/debian/lintian-overrides" "$package/usr/share/lintian/overrides/toolbay"
# A package that is not Debian's own has one changelog.
cat >"$doc/changelog" <<C
toolbay ($version$revision) stable; urgency=medium

  * Changes of each version are in docs/CHANGELOG.md.gz.

 -- $maintainer  $date
C
put "$root/CHANGELOG.md" usr/share/doc/toolbay/docs/CHANGELOG.md
find "$doc" -type f -size +4k ! -name copyright -exec gzip --best --no-name {} +
[ ! -f "$doc/changelog" ] || gzip --best --no-name "$doc/changelog"

# Which packages have the libraries that the binary is linked to.
mkdir -p "$work/debian" "$package/DEBIAN"
printf 'Source: toolbay\n\nPackage: toolbay\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O "$package/usr/bin/toolbay" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || die "dpkg-shlibdeps does not say what $binary is linked to"
architecture=$(dpkg --print-architecture)
size=$(du --summarize --apparent-size --block-size=1024 --exclude=DEBIAN "$package" | cut -f 1)
cat >"$package/DEBIAN/control" <<C
Package: toolbay
Version: $version$revision
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $size
Depends: $libraries, systemd | systemd-standalone-sysusers
Recommends: ca-certificates
Suggests: podman
Section: net
Priority: optional
Description: WebAssembly plugin host for the Model Context Protocol
 Toolbay serves the tools of WebAssembly plugins to clients of the Model Context
 Protocol (MCP) at one address: each call runs in a sandbox of its own. It also
 serves existing MCP servers, container images and applications with an OpenAPI
 document.
C
printf '/etc/toolbay/toolbay.toml\n' >"$package/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "$root/deploy/debian/$script" "$package/DEBIAN/$script"
done
(cd "$package" && find usr lib etc -type f ! -path etc/toolbay/toolbay.toml -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$package" -type d -exec chmod 755 {} +
find "$package" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$output"
made=$output/toolbay_${version}${revision}_$architecture.deb
dpkg-deb --root-owner-group "${compression[@]}" --build "$package" "$made" >/dev/null
say "built $made ($(du --apparent-size --block-size=1000000 "$made" | cut -f 1) MB)"
printf '%s\n' "$made"

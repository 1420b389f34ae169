#!/usr/bin/env python3
"""Prints the licences of what is compiled into the binary and the bundled plugins: each text once, below the packages that it is of.

usage: licences.py
"""

import hashlib
import pathlib
import re
import sys

from sbom import ROOT, linked, target

# What authors call the files that their licences demand to be passed on.
FILES = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?$", re.IGNORECASE)


def main() -> None:
    entries = linked(ROOT / "Cargo.toml", "toolbay", target())
    for manifest in sorted((ROOT / "plugins").glob("*/Cargo.toml")):
        entries += linked(manifest, None, "wasm32-wasip2")
    packages = {entry["id"]: entry for entry in entries if entry["source"]}
    texts: dict[str, tuple[str, list[str]]] = {}
    bare = []
    for entry in sorted(packages.values(), key=lambda entry: (entry["name"], entry["version"])):
        folder = pathlib.Path(entry["manifest_path"]).parent
        name = f"{entry['name']} {entry['version']} ({entry.get('license') or 'see its text'})"
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and FILES.match(file.name)]
        if not files:
            bare.append(f"{name}, by {', '.join(entry['authors']) or 'its contributors'}: {entry.get('repository') or 'crates.io'}")
        for file in files:
            text = file.read_text(errors="replace").strip()
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            known = texts.setdefault(key, (text, []))[1]
            if name not in known:
                known.append(name)
    if not texts:
        sys.exit("licences: no package has a licence file: are their sources here (cargo fetch)?")
    print(f"Toolbay contains {len(packages)} packages of others. Their licences, each once:\n")
    for text, names in sorted(texts.values(), key=lambda found: found[1][0]):
        print("=" * 78, *names, "-" * 78, text, "", sep="\n")
    print("=" * 78, "Without a text of their own, under the licences that are named:", *bare, sep="\n")


if __name__ == "__main__":
    main()

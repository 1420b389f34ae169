#!/usr/bin/env python3
"""Checks the Markdown of the repository: links, anchors, line lengths, and that code blocks parse.

usage: scripts/check-docs.py [FILE ...]        (without FILE: every Markdown file that git knows)

TOML blocks are loaded as configuration, and WIT blocks parsed, by a unit test of the host (`cargo test -p toolbay --lib pages`).
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
# The longest line that prose may have. Tables, code and entries of the changelog are as long as they must be.
WIDTH = 240
FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)(.*)$")
# Pages whose file names, as code, are those of the repository.
MAPS = ("ARCHITECTURE.md", "CONTRIBUTING.md")
PATH = re.compile(r"`([\w-][\w./-]*(?:\.rs|\.sh|\.py|\.toml|\.yml|/))`")
# [text](target) and [text](target "title"); the text may hold one level of brackets, as an image in a link does.
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\](?:\([^()]*\))?)*\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s]*)*)>?(?:\s+\"[^\"]*\")?\s*\)")


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"<[^>]*>", "", text).replace("`", "").strip().lower()
    text = re.sub(r"[^\w\- ]", "", text)
    return text.replace(" ", "-")


# `tests/e2e/fleet.rs::a_test`: a test that a page names.
TEST = re.compile(r"`([\w/-]+\.rs)::(\w+)`")


def has_test(file: str, name: str) -> bool:
    """Whether the file has such a test, that is run."""
    path = ROOT / file
    if not path.is_file():
        return False
    attributes = re.search(rf"((?:^\s*#\[[^\n]*\]\n)+)\s*(?:async )?fn {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    return bool(attributes) and "test" in attributes[1] and "ignore" not in attributes[1]


class Page:
    """One file, taken apart: prose lines, code blocks, anchors."""

    def __init__(self, path: Path):
        self.path = path
        self.prose: list[tuple[int, str]] = []
        self.blocks: list[tuple[int, str, str]] = []
        self.anchors: set[str] = set()
        self.problems: list[str] = []
        fence = None
        block: list[str] = []
        counts: dict[str, int] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = FENCE.match(line)
            if fence is not None:
                if match and match[2].startswith(fence[1]) and not match[3]:
                    self.blocks.append((fence[0], fence[2], "\n".join(block) + "\n"))
                    fence = None
                else:
                    block.append(line)
            elif match:
                fence, block = (number, match[2], match[3]), []
            else:
                self.prose.append((number, line))
                if heading := re.match(r"^#{1,6}\s+(.*?)\s*#*$", line):
                    anchor = slug(heading[1])
                    seen = counts.get(anchor, 0)
                    counts[anchor] = seen + 1
                    self.anchors.add(f"{anchor}-{seen}" if seen else anchor)
                self.anchors.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
        if fence is not None:
            self.problems.append(f"{path.relative_to(ROOT)}:{fence[0]}: this code block is never closed")


class Checker:
    """All pages, and what is wrong with them."""

    def __init__(self):
        self.pages: dict[Path, Page] = {}
        self.problems: list[str] = []
        self.counts = {"links": 0, "blocks": 0}

    def page(self, path: Path) -> Page:
        if path not in self.pages:
            self.pages[path] = Page(path)
        return self.pages[path]

    def problem(self, page: Page, line: int, text: str) -> None:
        self.problems.append(f"{page.path.relative_to(ROOT)}:{line}: {text}")

    def check(self, path: Path) -> None:
        page = self.page(path)
        self.problems += page.problems
        table = 0
        for number, line in page.prose:
            if len(line) > WIDTH and not line.startswith("|") and path.name != "CHANGELOG.md":
                self.problem(page, number, f"{len(line)} columns; at most {WIDTH}: one sentence a line, and short ones")
            table = self.check_table(page, number, line, table)
            for target in LINK.findall(re.sub(r"(`+)(?:(?!\1).)*?\1", "", line)):
                self.check_link(page, number, target)
            for file, name in TEST.findall(line):
                if not has_test(file, name):
                    self.problem(page, number, f"there is no test {name} in {file}")
            if path.name in MAPS:
                for name in PATH.findall(line):
                    if "/" in name and not any((folder / name).exists() for folder in (ROOT, ROOT / "host/src")):
                        self.problem(page, number, f"there is no {name}, neither in the repository nor in host/src")
        for number, language, text in page.blocks:
            self.check_block(page, number, language, text)

    def check_table(self, page: Page, number: int, line: str, previous: int) -> int:
        """A row whose table is cut off by an empty line renders as text. Returns the number of this line if it is of a table."""
        if not line.startswith("|"):
            return 0
        if previous != number - 1:
            following = dict(page.prose).get(number + 1, "")
            if not re.match(r"^\|(\s*:?-+:?\s*\|)+\s*$", following):
                self.problem(page, number, "this row belongs to no table: is there an empty line above it?")
        return number

    def check_link(self, page: Page, number: int, target: str) -> None:
        self.counts["links"] += 1
        if re.match(r"^[a-z][a-z0-9+.-]*:", target):
            # Other machines are not asked: a check must not fail because of them.
            return
        path, _, anchor = target.partition("#")
        file = (page.path.parent / unquote(path)).resolve() if path else page.path
        if not file.is_relative_to(ROOT):
            self.problem(page, number, f"the link {target} leaves the repository")
        elif not file.exists():
            self.problem(page, number, f"the link {target} leads nowhere: there is no {file.relative_to(ROOT)}")
        elif anchor and file.suffix == ".md" and anchor not in self.page(file).anchors:
            self.problem(page, number, f"the link {target}: {file.relative_to(ROOT)} has no heading #{anchor}")

    def check_block(self, page: Page, number: int, language: str, text: str) -> None:
        checks = {"json": check_json, "toml": check_toml, "sh": check_shell, "bash": check_shell, "rust": check_rust, "python": check_python}
        if language not in checks:
            return
        self.counts["blocks"] += 1
        if error := checks[language](text):
            self.problem(page, number, f"this {language} block does not parse: {error}")


def check_json(text: str) -> str | None:
    try:
        json.loads(text)
    except ValueError as error:
        return str(error)
    return None


def check_toml(text: str) -> str | None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return str(error)
    return None


def check_shell(text: str) -> str | None:
    ran = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return ran.stderr.strip() or None


def check_python(text: str) -> str | None:
    try:
        compile(text, "block", "exec")
    except SyntaxError as error:
        return str(error)
    return None


def check_rust(text: str) -> str | None:
    """Parses a block as a file, else as the body of a function."""
    errors = []
    for source in (text, f"fn block() {{\n{text}\n}}\n"):
        try:
            command = ["rustfmt", "--edition", "2024", "--emit", "stdout", "--quiet"]
            ran = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "rustfmt is missing: install it by `rustup component add rustfmt`"
        if ran.returncode == 0:
            return None
        errors.append(ran.stderr.strip().splitlines()[0] if ran.stderr.strip() else "rustfmt failed")
    return errors[-1]


def main() -> int:
    if sys.argv[1:]:
        files = [Path(name).resolve() for name in sys.argv[1:]]
    else:
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
        files = [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]
    checker = Checker()
    for path in files:
        checker.check(path)
    for problem in checker.problems:
        print(problem, file=sys.stderr)
    links, blocks = checker.counts["links"], checker.counts["blocks"]
    print(f"docs: {len(files)} pages, {links} links, {blocks} code blocks, {len(checker.problems)} problems", file=sys.stderr)
    return 1 if checker.problems else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Checks the words of logs, errors and `--help`: operators search for the terms of the field, and alert on them.

usage: scripts/check-words.py [--list] [FILE ...]      (without FILE: host/src, except tests)

  --list   print every string that was read, for a look

It reads the string literals of the code, and the doc comments that clap shows as help (host/src/cli). Comments for developers are not read.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What is not said, and what is said instead. One regular expression each, looked for without regard to case.
WORDS = {
    r"\bcop(y|ies) of (the|this|a) (host|server)\b|\b(other|all|several|another) cop(y|ies)\b|\b(that|the|this) copy('s)?\b": "instance (of Toolbay), replica (of a server)",
    r"\b(is|are|was|were|be|been|being) told\b(?! apart)": "logged, notified, reported",
    r"\blet in\b": "authenticated, accepted",
    r"\blet go\b": "detached, released",
    r"\bgiv(e|en) up\b": "cancelled, abandoned",
    r"\bpatience\b": "timeout",
    r"\bno turn\b|\b(its|their|his|a|the) turns?\b|\btakes? turns\b": "slot, queue",
    r"\bgreet(s|ed|ing)?\b": "handshake, initialize",
    r"\bforsaken\b|\bdoom(ed)?\b": "abandoned, failed",
    r"\bmade? (a )?mistakes?\b|\bfault of the host\b": "internal error",
    r"\bas (many|much) as may\b": "the limit",
    r"\bstands? (in|here|there)\b": "is in",
    r"\bgoes on serving\b|\bserved on\b": "keeps serving",
    r"\bfor ever\b": "forever",
    r"\bwhoever\b": "anyone who, the caller",
    r"\bin vain\b": "without success",
    r"\brefus(e|es|ed|ing|al)\b": "denied (access), rejected (input); refused only of connections, and of starting or listening",
}
# Strings in which a word above is right.
RIGHT = re.compile(r"connection (was )?refused|refus(es|ed|ing) (the connection|connections|to (start|listen))|ECONNREFUSED", re.IGNORECASE)
TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<raw>\bb?r(?P<hashes>\#*)".*?"(?P=hashes))
  | (?P<string>b?"(?:\\.|[^"\\])*")
  | (?P<char>'(?:\\.|[^'\\])')
    """,
    re.VERBOSE | re.DOTALL,
)


def production(text: str) -> str:
    """The code without its tests."""
    return re.split(r"\n#\[cfg\(test\)\]\s*\n(?:#\[[^\n]*\]\s*\n)*mod tests \{", text)[0]


def is_help(text: str, end: int) -> bool:
    """Whether the doc comment that ends here is of an option or a subcommand, so that clap shows it."""
    for line in text[end:].splitlines()[1:]:
        line = line.strip()
        if not line.startswith("///"):
            return bool(re.match(r"#\[(arg|command)|[a-z]\w*: |[A-Z]\w*(,|\(| \{)", line))
    return False


def strings(path: Path) -> list[tuple[int, str]]:
    """The strings of a file that somebody may see, each with its line."""
    text = production(path.read_text(encoding="utf-8"))
    found = []
    is_cli = "cli" in path.relative_to(ROOT).parts
    for match in TOKEN.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        token = match[0]
        if match["comment"]:
            if is_cli and token.startswith("/// ") and is_help(text, match.end()):
                found.append((line, token[4:]))
        elif (match["raw"] or match["string"]) and not re.search(r"reason = $", text[: match.start()]):
            content = token[token.index('"') + 1 : token.rindex('"')]
            # A backslash at the end of a line joins it with the next.
            found.append((line, re.sub(r"\\\n\s*", "", content)))
    return found


def main() -> int:
    arguments = sys.argv[1:]
    show = "--list" in arguments
    named = [Path(name).resolve() for name in arguments if name != "--list"]
    everything = sorted((ROOT / "host/src").rglob("*.rs"))
    files = named or [path for path in everything if not {"tests", "tests.rs"} & set(path.relative_to(ROOT).parts)]
    problems = 0
    seen = 0
    for path in files:
        for line, text in strings(path):
            seen += 1
            if show and " " in text:
                print(f"{path.relative_to(ROOT)}:{line}: {text}")
            # A single word is a name, and no sentence.
            if " " not in text.strip():
                continue
            # What is put in is not said here.
            rest = RIGHT.sub("", re.sub(r"\{[^{}\s]*\}", "", text))
            for pattern, instead in WORDS.items():
                if match := re.search(pattern, rest, re.IGNORECASE):
                    problems += 1
                    print(f"{path.relative_to(ROOT)}:{line}: {match[0]!r} in {text[:160]!r}; say: {instead}", file=sys.stderr)
    print(f"words: {seen} strings in {len(files)} files, {problems} problems", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

from dataclasses import dataclass
from pathlib import Path

from toolbay_plugin import ask, call_tool, fetch, log, progress, store, tool


@tool(read_only=True, open_world=True)
def length(url: str) -> int:
    """Counts the characters of a page."""
    return len(fetch(url).ok.text())


@dataclass
class Order:
    cake: str
    pieces: int


@tool
def order() -> str:
    """Orders a cake."""
    wanted = ask("Which cake?", Order)
    return f"{wanted.pieces} pieces of {wanted.cake}" if wanted else "no cake"


@tool(read_only=True)
def double(number: float) -> float:
    """Doubles a number by the tool `add`."""
    progress(1, 2, "adding")
    return call_tool("add", a=number, b=number)["result"]


@tool
def visit(name: str) -> int:
    """Counts the visits of somebody."""
    log(f"{name} is here")
    return store.increment(name)


@tool(read_only=True)
def note(name: str) -> str:
    """Reads a note."""
    return Path(f"/notes/{name}.txt").read_text()

"""Makes the tables and plots of docs/comparison.md and the README from the figures of one run.

usage: report.py RESULTS            writes docs/comparison.md (between its marks), the README's plot, docs/images/comparison*.svg and docs/comparison.json
       report.py --print RESULTS    prints the tables
       report.py --check RESULTS    compares Toolbay's ratios with those in docs/comparison.json, and fails where one is more than 15 % above
"""

import json
import sys
import textwrap
from pathlib import Path

import plots
from peers import GROUPS, LACKS, PEERS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/comparison.md"
PUBLISHED = ROOT / "docs/comparison.json"
IMAGES = ROOT / "docs/images"
BEGIN, END = "<!-- figures: begin (made by benches/peers/report.py) -->", "<!-- figures: end -->"
README = ROOT / "README.md"
# In the README, until there is a plot.
README_MARK = "<!-- comparison.svg -->"
README_PLOT = "![CPU time of one tool call with Toolbay and with other servers](docs/images/comparison.svg)"
PLOTS = {
    "CPU time of one call at 8 connections": "comparison-cpu.svg",
    "CPU time of one call that fetches, at 8 connections": "comparison-fetch.svg",
    "Calls a second at 64 connections": "comparison-rate.svg",
    "From start to first answer": "comparison-start.svg",
    "Memory of an idle server": "comparison-memory.svg",
}
# By how much a ratio may be above the published one: whole runs of the same program differ by up to 10 %.
ROOM = 0.15


def cell(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def times(row: dict, number: str) -> str:
    ratio = row["calls"][number].get("ratio")
    return "" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def named(row: dict) -> str:
    return f"**{row['label']}**" if row["ours"] else row["label"]


def calls_table(rows: list[dict]) -> list[str]:
    """CPU, rate and times of a call at each number of connections."""
    numbers = sorted({number for row in rows if "calls" in row for number in row["calls"]}, key=int)
    lines = []
    for number in numbers:
        lines += [f"At {number} connection{'s' if number != '1' else ''}:", ""]
        lines += ["| | CPU µs/call | × floor | calls/s | p50 ms | p99 ms |", "|---|---:|---:|---:|---:|---:|"]
        for row in rows:
            if "failed" in row:
                lines.append(f"| {named(row)} | failed | | | | |")
                continue
            calls = row["calls"][number]
            if "failed" in calls:
                lines.append(f"| {named(row)} | failed | | | | |")
                continue
            figures = [cell(calls["cpu_us"]), times(row, number), cell(calls["calls_per_second"]), cell(calls["p50_us"] / 1e3, 2), cell(calls["p99_us"] / 1e3, 2)]
            lines.append(f"| {named(row)} | {' | '.join(figures)} |")
        lines.append("")
    return lines


def rest_table(rows: list[dict]) -> list[str]:
    """What it takes to have it running, and how it was set up."""
    lines = ["| | start s | idle PSS MiB | PSS after load MiB | idle CPU % | processes | protocol | settings |", "|---|---:|---:|---:|---:|---:|---|---|"]
    eras = {"modern": "2026-07-28", "legacy": "2025-11-25", "earlier": "2025-06-18", "plain": "plain HTTP"}
    for row in rows:
        if "failed" in row:
            lines.append(f"| {named(row)} | failed | | | | | {eras[row['era']]} | {row['settings']} |")
            continue
        figures = [cell(row["start_s"], 2), cell(row["idle_mib"]), cell(row["busy_mib"]), cell(row["idle_cpu"] * 100, 1), cell(row["processes"])]
        lines.append(f"| {named(row)} | {' | '.join(figures)} | {eras[row['era']]} | {row['settings']} |")
    return [*lines, ""]


def lacks_table(rows: list[dict]) -> list[str]:
    """What each does not do: a figure without it is not a figure of the same thing."""
    keys = list(LACKS)
    lines = ["| | " + " | ".join(keys) + " |", "|---|" + "---|" * len(keys)]
    for row in rows:
        cells = ["–" if key == "sandbox" and row["group"] == "gateway" else "no" if key in row["lacks"] else "yes" for key in keys]
        label = named(row) + {"stdio": ", stdio", "gateway": ", gateway"}.get(row["group"], "")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return [*lines, "", *(f"- **{key}**: {text}" for key, text in LACKS.items()), ""]


def tables(results: dict) -> str:
    machine, pace = results["machine"], results["pace"]
    versions = ", ".join(dict.fromkeys(part.strip() for text in results["versions"].values() for part in text.split(",")))
    lines = [
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, {results['date']}, load before the run {machine['load_before']:.1f}.",
        f"{pace['rounds']} round{'s' if pace['rounds'] > 1 else ''} of {pace['seconds']:g} s; figures are medians of the rounds.",
        # A list of names: no sentence, but no longer a line than the rest of the docs has.
        *textwrap.wrap(f"Versions: {versions}.", 200, break_on_hyphens=False, break_long_words=False),
        "",
    ]
    lines += [part for text, name in PLOTS.items() for part in (f"![{text}](images/{name})", "")]
    for group, title in GROUPS.items():
        rows = [row for row in results["rows"] if row["group"] == group]
        if rows:
            lines += [f"### {title}", "", *calls_table(rows), *rest_table(rows)]
            lines += [f"- {row['label']} failed: {clean(row['failed'])}" for row in rows if "failed" in row]
            calls = [(row["label"], number, of) for row in rows for number, of in row.get("calls", {}).items() if "failed" in of]
            lines += [f"- {label} failed at {number} connections: {clean(of['failed'])}" for label, number, of in calls]
            lines.append("")
    lines += ["### What each does", "", *lacks_table([row for row in results["rows"] if row["group"] != "fetch"])]
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip()


def clean(text: str) -> str:
    """In one line of Markdown, without what it would read as markup."""
    return "`" + " ".join(text.replace("`", "'").split())[:200] + "`"


def publish(results: dict) -> None:
    names = {row["name"] for row in results["rows"]}
    if results["pace"]["quick"] or (missing := [peer.name for peer in PEERS if peer.name not in names]):
        sys.exit(f"only a full run is published: {'this is a quick one' if results['pace']['quick'] else ', '.join(missing) + ' is not in it'}")
    page = PAGE.read_text()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{after}")
    PUBLISHED.write_text(json.dumps({key: results[key] for key in ("date", "machine", "pace", "versions", "rows")}, indent=1) + "\n")
    README.write_text(README.read_text().replace(README_MARK, README_PLOT))
    IMAGES.mkdir(exist_ok=True)
    for name, svg in plots.all_of(results).items():
        (IMAGES / name).write_text(svg)


def check(results: dict) -> int:
    """Ratios, not times: machines differ, and so does one machine from hour to hour."""
    published = {row["name"]: row for row in json.loads(PUBLISHED.read_text())["rows"]}
    worse = compared = 0
    for row in results["rows"]:
        before = published.get(row["name"], {})
        if not row["ours"] or "calls" not in before:
            continue
        if "failed" in row:
            print(f"{row['label']} failed: {row['failed']}")
            worse += 1
            continue
        for number, calls in row["calls"].items():
            if "ratio" not in calls or "ratio" not in before["calls"].get(number, {}):
                continue
            compared += 1
            change = calls["ratio"] / before["calls"][number]["ratio"] - 1
            worse += change > ROOM
            mark = "  DEARER" if change > ROOM else ""
            print(f"{row['name']} at {number} connections: {calls['ratio']:.2f} × the floor, published {before['calls'][number]['ratio']:.2f} ({change:+.0%}){mark}")
    if not compared and not worse:
        print(f"nothing of {PUBLISHED.name} was measured in this run")
        return 1
    return 1 if worse else 0


def main() -> int:
    match sys.argv[1:]:
        case ["--print", path]:
            print(tables(json.loads(Path(path).read_text())))
        case ["--check", path]:
            return check(json.loads(Path(path).read_text()))
        case [path] if not path.startswith("-"):
            publish(json.loads(Path(path).read_text()))
        case _:
            print(__doc__.strip(), file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

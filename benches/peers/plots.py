"""Plots of a run's figures as SVG: bars on a logarithmic scale, readable on light and dark pages."""

import math
from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP, BOTTOM = 760, 232, 96, 16, 8, 44, 26
# The page's own colours where the viewer says which it has; a picture in a page on GitHub follows the system's.
STYLE = """
.page { fill: #ffffff } .text { fill: #1f2328 } .faint { fill: #59636e } .line { stroke: #d1d9e0 } .bar { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
 .page { fill: #0d1117 } .text { fill: #f0f6fc } .faint { fill: #9198a1 } .line { stroke: #3d444d } .bar { fill: #656c76 } .ours { fill: #4493f8 }
}
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif } .title { font-size: 14px; font-weight: 600 }
""".strip()


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def bars(title: str, unit: str, rows: list[tuple[str, float, bool]]) -> str:
    """One bar a row: its label, its value, and whether it is Toolbay's."""
    low = 10 ** math.floor(math.log10(min(value for _, value, _ in rows)))
    high = 10 ** math.ceil(math.log10(max(value for _, value, _ in rows)))
    room = WIDTH - LEFT - RIGHT
    # All values in one power of ten would leave no scale.
    powers = max(1, round(math.log10(high / low)))

    def place(value: float) -> float:
        return LEFT + room * math.log10(value / low) / powers

    height = TOP + len(rows) * (BAR + GAP) + BOTTOM
    summary = "; ".join(f"{label}: {number(value)}" for label, value, _ in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><desc>{escape(summary)}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="text title" x="12" y="24">{escape(title)}</text>',
    ]
    for power in range(powers + 1):
        x, value = LEFT + room * power / powers, low * 10**power
        parts.append(f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - BOTTOM}"/>')
        parts.append(f'<text class="faint" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{number(value)}</text>')
    parts.append(f'<text class="faint" x="{WIDTH - 8}" y="{height - 8}" text-anchor="end">{escape(unit)}</text>')
    for index, (label, value, ours) in enumerate(rows):
        y = TOP + index * (BAR + GAP)
        kind = "ours" if ours else "bar"
        length = max(2.0, place(value) - LEFT)
        parts.append(f'<text class="text" x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text class="text" x="{LEFT + length + 6:.1f}" y="{y + 12}">{number(value)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def all_of(results: dict) -> dict[str, str]:
    """Every plot under the name of its file."""
    good = [row for row in results["rows"] if "calls" in row]
    servers = [row for row in good if row["group"] == "server"]
    add = [row for row in good if row["group"] != "fetch"]
    fetch = [row for row in good if row["group"] == "fetch"]
    before = {"stdio": " before a stdio server", "gateway": " as a gateway"}

    def of(rows: list[dict], value, title: str, unit: str) -> str:
        chosen = [(row["label"] + before.get(row["group"], ""), figure, row["ours"]) for row in rows if (figure := value(row)) is not None]
        return bars(title, unit, sorted(chosen, key=lambda row: row[1]))

    small = [row for row in servers if row["name"] not in ("wasmtime-reuse", "ray-haproxy")]

    def calls(number: str, key: str):
        return lambda row: row["calls"].get(number, {}).get(key)

    cpu = calls("8", "cpu_us")
    return {
        "comparison.svg": of(small, cpu, "CPU time of one tool call, 8 connections (less is better, logarithmic)", "µs"),
        "comparison-cpu.svg": of(add, cpu, "CPU time of one call of add, 8 connections (logarithmic)", "µs"),
        "comparison-rate.svg": of(add, calls("64", "calls_per_second"), "Calls a second, 64 connections (logarithmic)", "calls/s"),
        "comparison-start.svg": of(add, lambda row: row["start_s"] * 1e3, "From start to first answer (logarithmic)", "ms"),
        "comparison-memory.svg": of(add, lambda row: row["idle_mib"], "Memory of an idle server: PSS of all its processes (logarithmic)", "MiB"),
    } | ({"comparison-fetch.svg": of(fetch, cpu, "CPU time of one call of get_alerts, 8 connections (logarithmic)", "µs")} if fetch else {})

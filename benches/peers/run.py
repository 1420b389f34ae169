"""Conducts the comparison: starts each server in turn, in several rounds, and writes every figure down.

scripts/bench-peers.sh calls it; see docs/comparison.md.
"""

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import peers
import setup
from measure import Failed, Tree, Way, load

CONNECTIONS = (1, 8, 64)
# Before anything is measured: code is warm then, in every process of a server.
WARM = 2.0
WARM_CONNECTIONS = 16
# At least so long for servers that need tens of milliseconds a call.
SLOW = 6.0
# After the first answer other workers may still start.
SETTLE = 1.5
# Without a call, before the look at the memory of an idle server.
IDLE = 2.0


def say(text: str) -> None:
    print(f"peers: {text}", file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def one(context: peers.Context, peer: peers.Peer, pace: argparse.Namespace) -> dict:
    """One turn of one peer: a start, its memory, and a while at each number of connections."""
    port = free_port()
    start = peer.start(context, port)
    log = context.work / f"{peer.name}.log"
    with Tree(start.command, log, start.env, start.cwd) as tree:
        way = peers.way(context, peer, peers.said_port(tree) if peer.says_address else port)
        figures: dict = {"start_s": tree.until_it_answers(way)}
        time.sleep(SETTLE)
        cpu, began = tree.cpu_seconds(), time.monotonic()
        time.sleep(IDLE)
        figures["idle_cpu"] = (tree.cpu_seconds() - cpu) / (time.monotonic() - began)
        figures["idle_mib"] = tree.memory_mib()
        figures["processes"] = len(tree.pids())
        with suppress(Failed):
            load(context.bench, tree, way, WARM_CONNECTIONS, 0.1, pace.warm)
        seconds = max(pace.seconds, SLOW) if peer.is_slow else pace.seconds
        figures["calls"] = {str(number): attempt(context, tree, way, number, seconds) for number in CONNECTIONS}
        if all("failed" in calls for calls in figures["calls"].values()):
            raise Failed(next(iter(figures["calls"].values()))["failed"])
        figures["busy_mib"] = tree.memory_mib()
    return figures


def attempt(context: peers.Context, tree: Tree, way: Way, number: int, seconds: float) -> dict:
    """Some servers answer few connections and not many."""
    try:
        return load(context.bench, tree, way, number, 0.3, seconds)
    except Failed as error:
        tree.runs()
        return {"failed": str(error)}


def rounds(context: peers.Context, chosen: list[peers.Peer], pace: argparse.Namespace) -> dict[str, list]:
    """All take turns, in each round another one first. Who fails twice is not asked again."""
    turns: dict[str, list] = {peer.name: [] for peer in chosen}
    for number in range(pace.rounds):
        first = number * max(1, len(chosen) // pace.rounds) % len(chosen)
        for peer in chosen[first:] + chosen[:first]:
            if sum("failed" in turn for turn in turns[peer.name]) >= 2:
                continue
            began = time.monotonic()
            try:
                turn = one(context, peer, pace)
                cpu = ", ".join(f"{figures['cpu_us']:.0f}" if "cpu_us" in figures else "failed" for figures in turn["calls"].values())
                say(f"round {number + 1}: {peer.name}: {cpu} µs of CPU a call ({time.monotonic() - began:.0f} s)")
            except Failed as error:
                turn = {"failed": str(error)}
                say(f"round {number + 1}: {peer.name} failed: {error}")
            turns[peer.name].append({"round": number, **turn})
    return turns


def summary(peer: peers.Peer, turns: list[dict], floor: list[dict]) -> dict:
    """Medians over the rounds. A ratio is that of a round, to the floor of the same round."""
    good = [turn for turn in turns if "failed" not in turn]
    row = {"name": peer.name, "label": peer.label, "group": peer.group, "settings": peer.settings, "lacks": list(peer.lacks), "era": peer.era, "ours": peer.is_ours}
    if not good:
        return row | {"failed": turns[-1]["failed"] if turns else "it was not measured"}
    floors = {turn["round"]: turn for turn in floor if "failed" not in turn}
    for key in ("start_s", "idle_cpu", "idle_mib", "busy_mib", "processes"):
        row[key] = middle([turn[key] for turn in good])
    row["calls"] = {}
    for number in map(str, CONNECTIONS):
        row["calls"][number] = calls_summary({turn["round"]: turn["calls"][number] for turn in good}, {number_: turn["calls"][number] for number_, turn in floors.items()})
    row["rounds"] = len(good)
    if len(good) < len(turns):
        row["failed_rounds"] = [turn["failed"] for turn in turns if "failed" in turn]
    return row


def calls_summary(calls: dict[int, dict], floors: dict[int, dict]) -> dict:
    """The calls at one number of connections, by their rounds."""
    good = {turn: figures for turn, figures in calls.items() if "failed" not in figures}
    if not good:
        return {"failed": next(iter(calls.values()))["failed"]}
    result = {key: middle([figures[key] for figures in good.values()]) for key in ("cpu_us", "calls_per_second", "p50_us", "p99_us", "cpu_share")}
    ratios = [figures["cpu_us"] / floors[turn]["cpu_us"] for turn, figures in good.items() if "cpu_us" in floors.get(turn, {})]
    return result | ({"ratio": middle(ratios)} if ratios else {})


def middle(values: list[float]) -> float:
    """The median, without digits that mean nothing."""
    return float(f"{statistics.median(values):.6g}")


def machine() -> dict:
    cpu = next((line.split(": ", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) >> 20
    return {"cores": os.cpu_count(), "cpu": cpu, "memory_gib": memory, "kernel": platform.release(), "load_before": os.getloadavg()[0]}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-peers", description="Compares Toolbay with other servers, in one run and one table.")
    parser.add_argument("--toolbay", type=Path, required=True, help="the program")
    parser.add_argument("--bench", type=Path, required=True, help="toolbay-bench: the clients, and some of the servers")
    parser.add_argument("--plugins", type=Path, required=True, help="folder of calculator.wasm")
    parser.add_argument("--component", type=Path, required=True, help="the MCP server for wasmtime")
    parser.add_argument("--out", type=Path, default=Path("target/bench/peers.json"), help="file for the figures")
    parser.add_argument("--only", default="", help="names, with commas; the floor is always there")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="measured in a round at each number of connections")
    parser.add_argument("--warm", type=float, default=WARM, help="seconds of load before that")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that all works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warm = 1, 1.0, 1.5
    return options


def main() -> int:
    options = arguments()
    names = {peer.name for peer in peers.PEERS}
    wanted = set(filter(None, options.only.split(",")))
    if unknown := wanted - names:
        print(f"bench-peers: there is no {', '.join(sorted(unknown))}; there are {', '.join(peer.name for peer in peers.PEERS)}", file=sys.stderr)
        return 2
    chosen = [peer for peer in peers.PEERS if not wanted or peer.name in wanted or peer.name == peers.FLOOR]
    # In memory, so that no database waits for a disk. Short, since sockets of Ray are in it, and their paths must not exceed 107 bytes.
    memory = Path("/dev/shm")
    work = Path(tempfile.mkdtemp(prefix="tbp", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        context = peers.Context(
            toolbay=options.toolbay.resolve(),
            bench=options.bench.resolve(),
            plugins=options.plugins.resolve(),
            component=options.component.resolve(),
            cache=setup.CACHE,
            work=work,
            upstream="",
            weather="",
            cores=os.cpu_count() or 1,
        )
        missing = setup.everything({peer.needs for peer in chosen if peer.needs})
        before = machine()
        with peers.upstream(context) as context:
            turns = measured(context, chosen, missing, options)
        versions = setup.versions()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    rows = [summary(peer, turns[peer.name], turns[peers.FLOOR]) for peer in chosen]
    result = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": before,
        "pace": {"rounds": options.rounds, "seconds": options.seconds, "quick": options.quick},
        "versions": versions,
        "rows": rows,
        "turns": turns,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    say(f"every figure: {options.out}")
    return 0


def measured(context: peers.Context, chosen: list[peers.Peer], missing: dict[str, str], options: argparse.Namespace) -> dict[str, list]:
    """The turns of all. Who cannot be installed or prepared has a reason in place of figures."""
    ready, out = [], {}
    for peer in chosen:
        try:
            if peer.needs in missing:
                raise Failed(missing[peer.needs])
            if peer.prepare:
                say(f"preparing {peer.name}")
                peer.prepare(context)
            ready.append(peer)
        except Failed as error:
            say(f"{peer.name} is out: {error}")
            out[peer.name] = [{"round": 0, "failed": str(error)}]
    return rounds(context, ready, options) | out


if __name__ == "__main__":
    sys.exit(main())

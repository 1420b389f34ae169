"""A server as a tree of processes: started, asked, measured from outside, ended."""

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
# How long a server may take to its first right answer: Ray needs some 20 s on a busy machine, and supergateway starts a process for each call.
START = 60.0
# Between two questions whether it serves already: what a start is known to.
PAUSE = 0.005
# For the end: what tree.py waits for, and some.
END = 15.0

# Revisions of MCP whose requests differ in nothing else here.
VERSIONS = {"legacy": "2025-11-25", "earlier": "2025-06-18"}


class Failed(Exception):
    """Why a server has no figures. Reads as half a sentence."""


@dataclass(frozen=True)
class Way:
    """How a server is called."""

    port: int
    era: str = "modern"
    tool: str = "add"
    path: str = "/mcp"
    # For another tool than `add`: the same arguments in each call, and a file with the text of the answer.
    arguments: dict | None = None
    text: Path | None = None


def call(way: Way, number: int, timeout: float = 10.0) -> None:
    """One call. Fails unless its answer is the right one."""
    a, b = number + 0.125, number * 2 + 0.5
    arguments = way.arguments or {"a": a, "b": b}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    params: dict[str, object] = {"name": way.tool, "arguments": arguments}
    if way.era == "modern":
        headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": way.tool}
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "toolbay-bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    elif way.era in VERSIONS:
        headers["MCP-Protocol-Version"] = VERSIONS[way.era]
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    path, body = (f"/{way.tool}", arguments) if way.era == "plain" else (way.path, message)
    connection = http.client.HTTPConnection("127.0.0.1", way.port, timeout=timeout)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    finally:
        connection.close()
    if response.status != 200:
        raise Failed(f"it answered {response.status}: {text[:300]}")
    if response.getheader("content-type", "").startswith("text/event-stream"):
        text = next((line[6:] for line in text.splitlines() if line.startswith("data: {")), "")
    try:
        answer = json.loads(text)
        if way.text:
            right = is_text(answer, number, way.text.read_text())
        else:
            right = answer == a + b if way.era == "plain" else is_right(answer, number, a + b)
    except ValueError:
        right = False
    if not right:
        raise Failed(f"it answered wrongly: {text[:300]}")


def is_right(answer: dict, number: int, total: float) -> bool:
    """The id, the structured value and its copy in text, and that it is no error."""
    try:
        result = answer["result"]
        return (
            answer["id"] == number
            and not result.get("isError")
            and result["structuredContent"]["result"] == total
            and float(result["content"][0]["text"]) == total
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return False


def is_text(answer: dict, number: int, text: str) -> bool:
    """The id, the structured value and its copy in text, and that it is no error."""
    try:
        result = answer["result"]
        return (
            answer["id"] == number
            and not result.get("isError")
            and result["structuredContent"]["result"] == text
            and result["content"][0]["text"] == text
        )
    except (KeyError, IndexError, TypeError):
        return False


class Tree:
    """A running server with all its processes. It ends with the `with` block."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None):
        keeper = [sys.executable, "-S", "-E", str(HERE / "tree.py"), str(os.getpid()), *command]
        self.log = log
        self.started = time.monotonic()
        with log.open("wb") as file:
            self.keeper = subprocess.Popen(
                keeper, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True
            )

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        self.keeper.terminate()
        try:
            self.keeper.wait(END)
        except subprocess.TimeoutExpired:
            # What it keeps it ends even so: nothing of it may run on beside the next one.
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.keeper.kill()
            self.keeper.wait()

    @property
    def pid(self) -> int:
        """Of the process that is the parent of all."""
        return self.keeper.pid

    def last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-3:])[-400:]

    def runs(self) -> None:
        if self.keeper.poll() is not None:
            raise Failed(f"it ended by itself: {self.last_words()}")

    def until_it_answers(self, way: Way) -> float:
        """Seconds from the start of the process to the first right answer."""
        while True:
            self.runs()
            try:
                call(way, 1)
                return time.monotonic() - self.started
            except (OSError, http.client.HTTPException, Failed) as error:
                if time.monotonic() - self.started > START:
                    raise Failed(f"no right answer within {START:.0f} s: {error}; {self.last_words()}") from error
            time.sleep(PAUSE)

    def pids(self) -> list[int]:
        """All below the keeper, which is not part of the server."""
        found, queue = [], [self.pid]
        while queue:
            for task in Path(f"/proc/{queue.pop()}/task").glob("*/children"):
                with suppress(OSError):
                    children = [int(child) for child in task.read_text().split()]
                    found += children
                    queue += children
        return found

    def memory_mib(self) -> float:
        """Proportional set size of all processes: shared pages count once."""
        total = 0
        for pid in self.pids():
            # One that ends in this moment has none.
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total / 1024

    def cpu_seconds(self) -> float:
        """User and system time of all processes, of those that have ended too."""
        ticks = 0
        for pid in [self.pid, *self.pids()]:
            with suppress(OSError):
                # The second field is the program's name, in parentheses. utime, stime, cutime and cstime are the fields 14 to 17 of proc(5).
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += sum(int(field) for field in fields[11:15])
        return ticks / TICKS


def load(bench: Path, tree: Tree, way: Way, connections: int, warmup: float, seconds: float) -> dict[str, float]:
    """So many connections for a while, each answer checked. CPU time is that of the whole tree."""
    command = [str(bench), "load", "--address", f"127.0.0.1:{way.port}", "--pid", str(tree.pid), "--family", "--era", way.era, "--tool", way.tool]
    command += ["--connections", str(connections), "--warmup", str(int(warmup * 1000)), "--millis", str(int(seconds * 1000))]
    if way.path != "/mcp":
        command += ["--path", way.path]
    before, began = tree.cpu_seconds(), time.monotonic()
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=warmup + seconds + 60)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"with {connections} connections: the clients did not end") from error
    tree.runs()
    if ran.returncode != 0:
        said = ran.stderr.strip().removeprefix("toolbay-bench: ")
        raise Failed(f"with {connections} connections: {said[:300]}")
    figures = json.loads(ran.stdout)
    # The clients read the times of threads that run; those of threads that have ended are only in the sums of the processes. Both should agree.
    figures["cpu_share"] = (tree.cpu_seconds() - before) / (time.monotonic() - began)
    return figures

"""Who is compared: how each is started, with which settings, and what it does not do."""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import forge
from measure import START, Failed, Tree, Way

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "servers"


@dataclass(frozen=True)
class Context:
    """What starts need to know."""

    toolbay: Path
    bench: Path
    plugins: Path
    component: Path
    # Where setup.py installed the others.
    cache: Path
    # For configuration, databases and logs of this run.
    work: Path
    # MCP over HTTP, in Rust: what gateways stand before.
    upstream: str
    # What tools that fetch ask, `HOST:PORT`.
    weather: str
    cores: int

    def venv(self, name: str, program: str) -> str:
        return str(self.cache / name / "bin" / program)


@dataclass(frozen=True)
class Start:
    """A command line, and where it serves."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None


@dataclass(frozen=True)
class Peer:
    """A row of the table."""

    name: str
    label: str
    group: str
    start: Callable[[Context, int], Start]
    # Under the names of `LACKS`; empty: it does all of that.
    lacks: tuple[str, ...] = ()
    settings: str = ""
    era: str = "modern"
    tool: str = "add"
    path: str = "/mcp"
    # What it needs once in a run, before it is measured.
    prepare: Callable[[Context], None] | None = None
    # What setup.py has to install for it.
    needs: str = ""
    # It chooses its port itself, and says it.
    says_address: bool = False
    # It needs tens of milliseconds a call.
    is_slow: bool = False
    # Checked against the published ratios.
    is_ours: bool = False


FLOOR = "floor"
STATE = "CA"
GROUPS = {
    "server": "A tool server",
    "fetch": "A tool that fetches: `get_alerts` of the tutorials",
    "stdio": "In front of a stdio server",
    "gateway": "A gateway in front of an MCP server over HTTP",
}
# What a server does, as the tables have it. `lacks` of a peer has those that it does not.
LACKS = {
    "sandbox": "a tool can reach only what was granted to it, and its memory is not that of other calls; – where it runs no tools itself",
    "limits": "as set up here, the time of a call and the number of calls at once are limited, and the memory of a plugin",
    "auth": "it can authenticate callers by itself; no row of this run does",
    "mcp": "its callers speak MCP",
    "host": "tools are found when it runs; it serves more than one",
    "reload": "a new version of a tool is served without a restart",
    "sessions": "as set up here, clients can have sessions, progress and questions",
}


def floor(context: Context, port: int) -> Start:
    return own(context, "floor", "--plugin", str(context.plugins / "calculator.wasm"))


def own(context: Context, kind: str, *more: str) -> Start:
    """A server of toolbay-bench. It chooses its port."""
    return Start([str(context.bench), "serve", kind, *more])


@contextmanager
def upstream(context: Context) -> Iterator[Context]:
    """What gateways stand before and tools fetch from: the Rust SDK's server and a weather service, one for all, not counted."""
    with (
        Tree(own(context, "rmcp").command, context.work / "upstream.log") as rmcp,
        Tree(own(context, "upstream").command, context.work / "weather.log") as alerts,
    ):
        weather = f"127.0.0.1:{said_port(alerts)}"
        with urllib.request.urlopen(f"http://{weather}/alerts/active/area/{STATE}", timeout=10) as response:
            alerts_file(context).write_text("\n---\n".join(map(alert, json.load(response)["features"])))
        yield replace(context, upstream=f"http://127.0.0.1:{said_port(rmcp)}/mcp", weather=weather)


def alerts_file(context: Context) -> Path:
    """What every `get_alerts` has to answer."""
    return context.work / "alerts.txt"


def alert(feature: dict) -> str:
    """As the tutorials write it."""
    p = feature["properties"]
    return f"Event: {p['event']}\nArea: {p['areaDesc']}\nSeverity: {p['severity']}\nDescription: {p['description']}\nInstructions: {p['instruction']}"


def said_port(tree: Tree) -> int:
    """The port that a server of toolbay-bench says on its first line."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/mcp", tree.log.read_text(errors="replace")):
            return int(found[1])
        tree.runs()
        time.sleep(0.002)
    raise Failed("it did not say where it serves")


def toolbay(context: Context, port: int, name: str, configuration: str, plugin: str = "") -> Start:
    folder = context.work / f"toolbay-{name}"
    (folder / "plugins").mkdir(parents=True, exist_ok=True)
    if plugin and not (target := folder / "plugins" / f"{plugin}.wasm").exists():
        target.write_bytes((context.plugins / target.name).read_bytes())
    config = folder / "toolbay.toml"
    config.write_text(f'[host]\ncache = "cache"\ncompiler = "cranelift"\n{configuration}')
    serve = ["serve", "--config", str(config), "--plugins", str(folder / "plugins"), "--listen", f"127.0.0.1:{port}"]
    return Start([str(context.toolbay), *serve])


def toolbay_plugin(context: Context, port: int) -> Start:
    return toolbay(context, port, "plugin", "", "calculator")


def toolbay_fetch(context: Context, port: int) -> Start:
    grants = f'[plugin.weather]\nhttp_private = ["{context.weather}"]\nenv = {{ NWS_API_BASE = "http://{context.weather}" }}\n'
    return toolbay(context, port, "fetch", grants, "weather")


def fetching(context: Context, start: Start) -> Start:
    """The same server, told where the weather service is."""
    return replace(start, env={**start.env, "NWS_API_BASE": f"http://{context.weather}"})


def toolbay_stdio(context: Context, port: int) -> Start:
    return toolbay(context, port, "stdio", f'[server.adder]\ncommand = ["{context.bench}", "adder"]\n')


def toolbay_gateway(context: Context, port: int) -> Start:
    return toolbay(context, port, "gateway", f'[server.adder]\nurl = "{context.upstream}"\n')


# Instances come from a pool, as Toolbay's and the floor's do, which keeps as much of their memory.
POOL = ["-O", f"pooling-allocator=y,pooling-memory-keep-resident={2 << 20},pooling-table-keep-resident={1 << 20}"]


def wasmtime_program(context: Context) -> str:
    return os.environ.get("WASMTIME") or str(context.cache / "wasmtime" / "wasmtime")


def wasmtime_prepare(context: Context) -> None:
    """Compiles the component, so that no start has to."""
    compile = [wasmtime_program(context), "compile", *POOL, "-o", str(context.work / "mcp.cwasm"), str(context.component)]
    ran = subprocess.run(compile, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise Failed(f"it does not compile the component: {ran.stderr.strip()[-300:]}")


def wasmtime(context: Context, port: int, reuse: int) -> Start:
    # The component imports the environment and standard streams, which -Scli gives it.
    serve = ["serve", "-Scli", *POOL, "--allow-precompiled", "--max-instance-reuse-count", str(reuse), "--addr", f"127.0.0.1:{port}"]
    return Start([wasmtime_program(context), *serve, str(context.work / "mcp.cwasm")])


def ray(context: Context, port: int, venv: str, app: str, env: dict[str, str]) -> Start:
    # Sockets in it must have short paths.
    folder = context.work / "r"
    folder.mkdir(exist_ok=True)
    env = {
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_DEFAULT_HTTP_HOST": "127.0.0.1",
        "PYTHONPATH": str(SERVERS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PEER_PORT": str(port),
        **env,
    }
    return Start([context.venv(venv, "python"), str(SERVERS / "ray_run.py"), app], env, folder)


def ray_published(context: Context, port: int) -> Start:
    return ray(context, port, "ray-published", "ray_published", {})


def ray_best(context: Context, port: int) -> Start:
    return ray(context, port, "ray-best", "ray_best", {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"})


def ray_haproxy(context: Context, port: int) -> Start:
    folder = context.work / "h"
    folder.mkdir(exist_ok=True)
    env = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    }
    return ray(context, port, "ray-best", "ray_best", env)


def uvicorn(context: Context, port: int, venv: str, app: str, env: dict[str, str] | None = None) -> Start:
    command = [context.venv(venv, "uvicorn"), f"{app}:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(context.cores), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return Start(command, {"PYTHONPATH": str(SERVERS), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})})


def typescript(context: Context, port: int) -> Start:
    # Node looks for packages beside the file.
    folder = context.cache / "typescript"
    return Start(["node", str(folder / "typescript.mjs")], {"PORT": str(port), "WORKERS": str(context.cores), "NODE_ENV": "production"})


def mcp_proxy(context: Context, port: int) -> Start:
    options = ["--stateless", "--port", str(port), "--log-level", "WARNING"]
    return Start([context.venv("mcp-proxy", "mcp-proxy"), *options, "--", str(context.bench), "adder"])


def mcpo(context: Context, port: int) -> Start:
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING"]
    return Start([context.venv("mcpo", "mcpo"), *options, "--", str(context.bench), "adder"])


def supergateway(context: Context, port: int) -> Start:
    options = ["--stdio", f"'{context.bench}' adder", "--outputTransport", "streamableHttp", "--port", str(port), "--logLevel", "none"]
    return Start([str(context.cache / "supergateway" / "node_modules" / ".bin" / "supergateway"), *options])


def fastmcp_gateway(context: Context, port: int) -> Start:
    return uvicorn(context, port, "fastmcp", "fastmcp_proxy", {"UPSTREAM": context.upstream})


def forge_start(context: Context, port: int) -> Start:
    return Start(forge.command(context.cache / "forge", context.cores, port), forge.environment(context.work / "forge"), context.work / "forge")


def forge_prepare(context: Context) -> None:
    forge.prepare(context.cache / "forge", context.work / "forge", context.upstream)


SDK = ("sandbox", "limits", "reload", "sessions")
# Those that authenticate nobody either.
OPEN = (*SDK, "auth")
PEERS = [
    Peer(FLOOR, "axum + fresh instance (the floor)", "server", floor, ("limits", "auth", "host", "reload", "sessions"), "the ratios are to this", says_address=True),
    Peer("toolbay", "Toolbay, plugin", "server", toolbay_plugin, settings="as it comes", is_ours=True),
    Peer("rmcp", "rmcp (Rust SDK)", "server", lambda c, p: own(c, "rmcp"), OPEN, "stateless, JSON answers, mimalloc", says_address=True),
    Peer(
        "wasmtime", "wasmtime serve, fresh instance", "server", lambda c, p: wasmtime(c, p, 1), ("limits", "auth", "host", "reload", "sessions"),
        "pooling allocator, compiled beforehand; an MCP server of one tool as a component",
        needs="wasmtime", prepare=wasmtime_prepare,
    ),
    Peer(
        "wasmtime-reuse", "wasmtime serve, instance reused", "server", lambda c, p: wasmtime(c, p, 1000), ("sandbox", "limits", "auth", "host", "reload", "sessions"),
        "the same, 1,000 requests an instance: state crosses calls",
        needs="wasmtime", prepare=wasmtime_prepare,
    ),
    Peer("python", "Python SDK, uvicorn", "server", lambda c, p: uvicorn(c, p, "python", "python_sdk"), SDK,
         "a worker a core, uvloop, httptools, stateless, JSON answers, no access log", needs="python"),
    Peer("fastmcp", "FastMCP, uvicorn", "server", lambda c, p: uvicorn(c, p, "fastmcp", "fastmcp_server"), SDK, "the same", needs="fastmcp"),
    Peer("typescript", "TypeScript SDK, Node", "server", typescript, SDK, "a worker a core (node:cluster), stateless, JSON answers", needs="typescript"),
    Peer("ray-published", "Ray Serve, tutorial as published", "server", ray_published, SDK,
         "mcp 1.11 inside FastAPI, event streams, 1 to 20 replicas", era="earlier", path="/mcp/", needs="ray-published", is_slow=True),
    Peer("ray-best", "Ray Serve, tuned", "server", ray_best, SDK,
         "newest SDK, JSON answers, no FastAPI, `RAY_SERVE_THROUGHPUT_OPTIMIZED`, no dashboard", needs="ray-best"),
    Peer("ray-haproxy", "Ray Serve, tuned, HAProxy", "server", ray_haproxy, SDK, "the same with `RAY_SERVE_ENABLE_HA_PROXY`", needs="ray-best"),
    Peer("toolbay-fetch", "Toolbay, plugin", "fetch", toolbay_fetch, settings="as it comes", tool="get_alerts", is_ours=True),
    Peer("native-fetch", "axum + reqwest + serde", "fetch", lambda c, p: own(c, "fetching", "--upstream", c.weather), (*OPEN, "host"),
         "the least that such a call costs; no sandbox", tool="get_alerts", says_address=True),
    Peer("python-fetch", "Python SDK, uvicorn", "fetch", lambda c, p: fetching(c, uvicorn(c, p, "python", "python_sdk")), SDK,
         "as above; one HTTP client for all calls", tool="get_alerts", needs="python"),
    Peer("fastmcp-fetch", "FastMCP, uvicorn", "fetch", lambda c, p: fetching(c, uvicorn(c, p, "fastmcp", "fastmcp_server")), SDK, "the same",
         tool="get_alerts", needs="fastmcp"),
    Peer("typescript-fetch", "TypeScript SDK, Node", "fetch", lambda c, p: fetching(c, typescript(c, p)), SDK, "as above; Node's fetch",
         tool="get_alerts", needs="typescript"),
    Peer("ray-published-fetch", "Ray Serve, tutorial as published", "fetch", lambda c, p: fetching(c, ray_published(c, p)), SDK,
         "as above; an HTTP client for each call", era="earlier", tool="get_alerts", path="/mcp/", needs="ray-published", is_slow=True),
    Peer("ray-haproxy-fetch", "Ray Serve, tuned, HAProxy", "fetch", lambda c, p: fetching(c, ray_haproxy(c, p)), SDK,
         "as above; one HTTP client for all calls", tool="get_alerts", needs="ray-best"),
    Peer("toolbay-stdio", "Toolbay", "stdio", toolbay_stdio, ("sandbox",), settings="as it comes", is_ours=True),
    Peer("mcp-proxy", "mcp-proxy (Python)", "stdio", mcp_proxy, OPEN, "`--stateless`", era="legacy", needs="mcp-proxy"),
    Peer("mcpo", "mcpo (Python)", "stdio", mcpo, (*SDK, "mcp"), "plain HTTP: `POST /add`", era="plain", needs="mcpo"),
    Peer("supergateway", "supergateway (Node)", "stdio", supergateway, OPEN, "as it comes: a process of the server for each call", era="legacy", needs="supergateway", is_slow=True),
    Peer("toolbay-gateway", "Toolbay", "gateway", toolbay_gateway, settings="as it comes", is_ours=True),
    Peer("fastmcp-gateway", "FastMCP proxy", "gateway", fastmcp_gateway, SDK, "as FastMCP above; one session of the upstream for all calls", needs="fastmcp"),
    Peer("forge", "ContextForge", "gateway", forge_start, ("sessions",), forge.SETTINGS, era="legacy", tool=forge.TOOL, prepare=forge_prepare, needs="forge", is_slow=True),
]


def way(context: Context, peer: Peer, port: int) -> Way:
    way = Way(port, peer.era, peer.tool, peer.path)
    return replace(way, arguments={"state": STATE}, text=alerts_file(context)) if peer.group == "fetch" else way

"""ContextForge: its environment, and the upstream that is registered with it before it is measured."""

import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from measure import Failed, Tree

# It publishes a tool under the name of its gateway and its own.
GATEWAY = "upstream"
TOOL = f"{GATEWAY}-add"
SETTINGS = "a worker a core, stateless, JSON answers, SQLite and cache in memory; authentication, rate limits, compression, admin pages and its records of calls off"
ADMIN = "admin@example.com"
KEYS = "keys.json"
START = 120.0


def command(venv: Path, workers: int, port: int) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "error"]
    return [str(venv / "bin" / "mcpgateway"), *options]


def environment(folder: Path) -> dict[str, str]:
    """With what makes it cheaper, for calls without a token."""
    return {
        **keys(folder),
        "HOME": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/mcp.db",
        "PLATFORM_ADMIN_EMAIL": ADMIN,
        "AUTH_REQUIRED": "false",
        "MCP_REQUIRE_AUTH": "false",
        "MCP_CLIENT_AUTH_ENABLED": "false",
        "ENVIRONMENT": "development",
        "CACHE_TYPE": "memory",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "RATE_LIMITING_ENABLED": "false",
        "TOOL_RATE_LIMIT": "100000000",
        "RATE_LIMIT_MEDIUM_RPM": "100000000",
        "USE_STATEFUL_SESSIONS": "false",
        "JSON_RESPONSE_ENABLED": "true",
        "DB_METRICS_RECORDING_ENABLED": "false",
        "STRUCTURED_LOGGING_DATABASE_ENABLED": "false",
        "OBSERVABILITY_ENABLED": "false",
        "PLUGINS_ENABLED": "false",
        "MCPGATEWAY_UI_ENABLED": "false",
        "MCPGATEWAY_ADMIN_API_ENABLED": "false",
        "MCPGATEWAY_TOOL_CANCELLATION_ENABLED": "false",
        "COMPRESSION_ENABLED": "false",
        "TOKEN_USAGE_LOGGING_ENABLED": "false",
        "METRICS_AGGREGATION_ENABLED": "false",
        "PERFORMANCE_TRACKING_ENABLED": "false",
        "CORRELATION_ID_ENABLED": "false",
        "STRUCTURED_LOGGING_ENABLED": "false",
        "LOG_LEVEL": "CRITICAL",
    }


def keys(folder: Path) -> dict[str, str]:
    """Made once for a run."""
    file = folder / KEYS
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        names = ("JWT_SECRET_KEY", "AUTH_ENCRYPTION_SECRET", "PLATFORM_ADMIN_PASSWORD")
        file.write_text(json.dumps({name: secrets.token_urlsafe(32) for name in names}))
    return json.loads(file.read_text())


def prepare(venv: Path, folder: Path, upstream: str) -> None:
    """Starts it with authentication, registers the upstream, ends it. What it learned is in its database."""
    shutil.rmtree(folder, ignore_errors=True)
    strict = {"AUTH_REQUIRED": "true", "MCP_REQUIRE_AUTH": "true", "MCP_CLIENT_AUTH_ENABLED": "true"}
    env = environment(folder) | strict
    port = 4444
    with Tree(command(venv, 1, port), folder / "prepare.log", env, folder) as tree:
        until_healthy(tree, port)
        make = [str(venv / "bin" / "python"), "-m", "mcpgateway.utils.create_jwt_token", "--username", ADMIN, "--admin", "--exp", "60"]
        made = subprocess.run([*make, "--secret", env["JWT_SECRET_KEY"]], env={**os.environ, **env}, cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise Failed(f"it makes no token: {made.stderr.strip()[-300:]}")
        token = made.stdout.strip().splitlines()[-1]
        body = {"name": GATEWAY, "url": upstream, "transport": "STREAMABLEHTTP", "visibility": "public"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/gateways",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        try:
            urllib.request.urlopen(request, timeout=60).read()
        except urllib.error.HTTPError as error:
            raise Failed(f"it does not take the upstream: {error.code} {error.read().decode(errors='replace')[:300]}") from error


def until_healthy(tree: Tree, port: int) -> None:
    deadline = time.monotonic() + START
    while True:
        tree.runs()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise Failed(f"it is not healthy within {START:.0f} s: {error}; {tree.last_words()}") from error
        time.sleep(0.1)

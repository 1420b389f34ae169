"""A server of MCP over HTTP. Each request has a sandbox of its own, so the server has no sessions."""

import json

REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26"]

TOOLS = [
    {
        "name": "greet",
        "description": "Greets somebody.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "Whom."}},
            "required": ["name"],
        },
        "annotations": {"readOnlyHint": True},
    }
]


def greet(name: str = "") -> str:
    if not name:
        raise ValueError("whom should I greet?")
    return f"Hello, {name}!"


def answer(message: dict) -> dict | None:
    """The answer to a message. None: it is a notification."""
    if "id" not in message:
        return None
    method, params = message.get("method"), message.get("params") or {}
    if method == "initialize":
        asked = params.get("protocolVersion")
        result = {
            "protocolVersion": asked if asked in REVISIONS else REVISIONS[0],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "{{name}}", "version": "0.1.0"},
        }
    elif method == "ping":
        result = {}
    elif method == "tools/list":
        result = {"tools": TOOLS}
    elif method == "tools/call" and params.get("name") == "greet":
        try:
            text, failed = greet(**params.get("arguments") or {}), False
        except Exception as error:
            text, failed = str(error), True
        result = {"content": [{"type": "text", "text": text}], "isError": failed}
    else:
        error = {"code": -32601, "message": f"there is no method {method!r}, or no such tool"}
        return {"jsonrpc": "2.0", "id": message["id"], "error": error}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}

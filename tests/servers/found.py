#!/usr/bin/env python3
"""A tool server on stdio with the faults of servers as they are found, for the tests of the bridge. Standard library only.

usage: found.py [KEY=VALUE...]

declares=a,b      the capabilities that it says it has (tools)
LIST=FAULT        what comes of LIST/list: missing (-32601), error, hang, bad, die (tools, resources, prompts; each answers by default)
ids=KIND          how it repeats ids: same, float, text, float-text, none, or a fixed one (ids=0)
speaks=VERSION    the only version of MCP that it takes; others are refused (any)
names=VERSION     the version that it names in its greeting (that of the client)
"""
import json, os, sys, time

OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[1:])
CAPABILITIES = {name: {} for name in OPTIONS.get("declares", "tools").split(",") if name}
LISTS = {
    "tools/list": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]},
    "resources/list": {"resources": [{"uri": "test://a", "name": "a"}]},
    "resources/templates/list": {"resourceTemplates": []},
    "prompts/list": {"prompts": [{"name": "greet"}]},
}


def written(id):
    kind = OPTIONS.get("ids", "same")
    if kind == "same":
        return id
    if kind == "none":
        return None
    if kind in ("float", "text", "float-text"):
        id = float(id) if "float" in kind else id
        return str(id) if "text" in kind else id
    return json.loads(kind)


def send(id, **members):
    print(json.dumps({"jsonrpc": "2.0", "id": written(id), **members}), flush=True)


def refuse(id, code, message, data=None):
    send(id, error={"code": code, "message": message, **({"data": data} if data else {})})


def greet(id, asked):
    speaks = OPTIONS.get("speaks", asked)
    if asked != speaks:
        return refuse(id, -32602, "Unsupported protocol version", {"supported": [speaks], "requested": asked})
    send(id, result={"protocolVersion": OPTIONS.get("names", asked), "capabilities": CAPABILITIES, "serverInfo": {"name": "found", "version": "1"}})


for line in sys.stdin:
    message = json.loads(line)
    id, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if id is None or method is None:
        continue
    if method == "initialize":
        greet(id, params["protocolVersion"])
    elif method in LISTS:
        fault = OPTIONS.get(method.split("/")[0])
        if fault == "missing":
            refuse(id, -32601, "Method not found")
        elif fault == "error":
            refuse(id, -32603, "the database is away")
        elif fault == "bad":
            send(id, result={"unexpected": []})
        elif fault == "die":
            sys.exit(3)
        elif fault != "hang":
            send(id, result=LISTS[method])
    elif method == "tools/call":
        send(id, result={"content": [{"type": "text", "text": json.dumps(params.get("arguments"))}]})
    elif method == "ping":
        send(id, result={})
    else:
        refuse(id, -32601, "Method not found")

#!/usr/bin/env python3
"""A stdio MCP server with a page (MCP Apps), at the address that the plugin `charts` has too. Standard library only.

`seen` answers what its client declared. `secret_page` names a page that the list leaves out.
"""
import json
import sys

PAGE, HIDDEN, TYPE = "ui://charts/chart.html", "ui://charts/hidden.html", "text/html;profile=mcp-app"
declared = {}


def tool(name, page, **ui):
    meta = {"ui": {"resourceUri": page, **ui}, "ui/resourceUri": page, "com.example/kept": [1]}
    return {"name": name, "description": name, "inputSchema": {"type": "object"}, "_meta": meta}


def page(uri):
    meta = {"ui": {"csp": {"connectDomains": ["https://api.example.com"]}, "prefersBorder": False}}
    return {"uri": uri, "mimeType": TYPE, "text": f"<!doctype html><title>{uri}</title>of the server", "_meta": meta}


def result_of(method, params):
    if method == "initialize":
        declared.update(params["capabilities"])
        info = {"name": "pages", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "resources": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [tool("show_chart", PAGE), tool("secret_page", HIDDEN, visibility=["app"]), tool("seen", PAGE)]}
    if method == "resources/list":
        return {"resources": [{"uri": PAGE, "name": "page", "mimeType": TYPE, "_meta": {"ui": {"prefersBorder": False}}}]}
    if method == "resources/read" and params["uri"] in (PAGE, HIDDEN):
        return {"contents": [page(params["uri"])]}
    if method == "tools/call":
        meta = {"com.example/k": 1}
        return {"content": [{"type": "text", "text": json.dumps(declared)}], "structuredContent": declared, "_meta": meta}
    if method == "ping":
        return {}
    raise KeyError(method)


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    try:
        answer["result"] = result_of(message["method"], message.get("params", {}))
    except KeyError:
        answer["error"] = {"code": -32601, "message": "Method not found"}
    print(json.dumps(answer), flush=True)

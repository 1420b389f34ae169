"""A stdio MCP server whose answers link to resources that it does not list: linked.py WORD

It lists `note://one` and reads any address, by WORD and the address. Its tool `link` answers links to the addresses that it is given.
"""

import json
import sys

word = sys.argv[1]


def out(ident, **end):
    print(json.dumps({"jsonrpc": "2.0", "id": ident, **end}), flush=True)


for line in sys.stdin:
    message = json.loads(line)
    ident, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method == "initialize":
        info = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "linked", "version": "1"}}
        out(ident, result={**info, "capabilities": {"tools": {}, "resources": {"subscribe": True}}})
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"uris": {"type": "array", "items": {"type": "string"}}}}
        out(ident, result={"tools": [{"name": "link", "inputSchema": schema}]})
    elif method == "resources/list":
        out(ident, result={"resources": [{"uri": "note://zebra", "name": "z"}, {"uri": "note://one", "name": "one"}]})
    elif method == "resources/templates/list":
        out(ident, result={"resourceTemplates": []})
    elif method == "resources/read":
        out(ident, result={"contents": [{"uri": params["uri"], "text": f"{word} {params['uri']}"}]})
    elif method == "tools/call":
        links = [{"type": "resource_link", "uri": uri, "name": "linked"} for uri in params["arguments"].get("uris", [])]
        out(ident, result={"content": links})
    elif ident is not None:
        out(ident, result={})

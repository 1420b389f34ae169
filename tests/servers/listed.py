"""A stdio MCP server that offers what a file says: listed.py TOOLS.json [ANSWER.json]

Every call is answered by ANSWER.json as the result, or by its arguments. Lists are written as they stand in the file, faults and all.
"""

import json
import os
import sys

tools = open(sys.argv[1], encoding="utf-8").read()
answer = open(sys.argv[2], encoding="utf-8").read() if len(sys.argv) > 2 else None


def out(ident, result):
    print(f'{{"jsonrpc":"2.0","id":{ident},"result":{" ".join(result.splitlines())}}}', flush=True)


for line in sys.stdin:
    message = json.loads(line)
    ident, method = json.dumps(message.get("id")), message.get("method")
    if method == "initialize":
        version = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "listed", "version": "1"}}
        if "INSTRUCTIONS" in os.environ:
            version["instructions"] = os.environ["INSTRUCTIONS"]
        out(ident, json.dumps({**version, "capabilities": {"tools": {}, "prompts": {}, "resources": {}}}))
    elif method == "tools/list":
        out(ident, f'{{"tools":{tools}}}')
    elif method == "prompts/list":
        out(ident, '{"prompts":[{"name":"p","arguments":null},{"name":"q","arguments":["a",{"x":1}]},{"name":"good"}]}')
    elif method == "resources/list":
        out(ident, '{"resources":[{"uri":"no uri","name":"a"},{"uri":"file:///b","size":"big","annotations":{"audience":"me"}}]}')
    elif method == "resources/templates/list":
        out(ident, '{"resourceTemplates":[]}')
    elif method == "tools/call":
        text = json.dumps(message["params"].get("arguments"))
        out(ident, answer or json.dumps({"content": [{"type": "text", "text": text}]}))
    elif method == "ping":
        out(ident, "{}")
    elif ident != "null":
        print(f'{{"jsonrpc":"2.0","id":{ident},"error":{{"code":-32601,"message":"Method not found"}}}}', flush=True)

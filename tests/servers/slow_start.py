"""A server that needs a second of CPU before it answers, as many in Python and Node do. Its tool takes a second of time, one call after the other."""

import json
import sys
import time

end = time.process_time() + 1.0
while time.process_time() < end:
    pass

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, result = message["method"], {}
    if method == "initialize":
        result = {
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "slow", "version": "1"},
        }
    elif method == "tools/list":
        result = {"tools": [{"name": "t", "description": "Takes a second", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        time.sleep(1)
        result = {"content": [{"type": "text", "text": "ok"}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)

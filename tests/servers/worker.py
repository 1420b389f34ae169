#!/usr/bin/env python3
"""A tool server on stdio for the tests of replicas. Standard library only.

Environment: REFUSE names a file; while it is there, a start ends with status 3. WAIT names a file; a start waits until it is there.
"""
import json, os, sys, threading, time

LOCK = threading.Lock()
MEETING = threading.Condition()
TOOLS = ["echo", "pid", "sleep", "meet", "environment", "grow"]
present = 0
met = 0


def send(message):
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def meet(count):
    """Answers when so many calls are here at the same time."""
    global present, met
    with MEETING:
        present += 1
        met = max(met, present)
        MEETING.notify_all()
        done = MEETING.wait_for(lambda: met >= count, timeout=60)
        present -= 1
        return "met" if done else f"only {met} came"


def call(name, arguments):
    if name == "echo":
        return json.dumps(arguments)
    if name == "pid":
        return str(os.getpid())
    if name == "sleep":
        time.sleep(arguments["ms"] / 1000)
        return str(os.getpid())
    if name == "meet":
        return meet(arguments["count"])
    if name == "environment":
        return json.dumps(dict(os.environ))
    if name == "grow":
        TOOLS.append("grown")
        send({"method": "notifications/tools/list_changed"})
        return "grew"
    if name == "grown":
        return "I am new"
    raise ValueError(f"there is no {name}")


def result_of(method, params):
    if method == "initialize":
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "worker", "version": "1"}}
    if method == "tools/list":
        schema = {"type": "object", "properties": {"ms": {"type": "number"}}}
        return {"tools": [{"name": name, "description": f"The tool {name}.", "inputSchema": schema} for name in list(TOOLS)]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": call(params["name"], params.get("arguments", {}))}]}
    if method == "ping":
        return {}
    raise KeyError(method)


def answer(id, method, params):
    try:
        send({"id": id, "result": result_of(method, params)})
    except KeyError:
        send({"id": id, "error": {"code": -32601, "message": "Method not found"}})
    except ValueError as error:
        send({"id": id, "error": {"code": -32602, "message": str(error)}})


def main():
    while "WAIT" in os.environ and not os.path.exists(os.environ["WAIT"]):
        time.sleep(0.02)
    if os.path.exists(os.environ.get("REFUSE", "/nowhere")):
        sys.stderr.write("the worker refuses to work\n")
        sys.exit(3)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            threading.Thread(target=answer, args=(message["id"], message["method"], message.get("params", {})), daemon=True).start()


main()

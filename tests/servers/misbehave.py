#!/usr/bin/env python3
"""A tool server on stdio that does what it is told to do wrong, for the tests of the bridge. Standard library only.

usage: misbehave.py [HABIT...]

Habits: modern (2026-07-28 only), strict (ends at a first message that is not `initialize`), mute (never answers), deaf (never reads), die (ends at
once), banner (greets on stdout), slow-start, no-probe (answers nothing that it does not know), bad-list (lists what cannot be offered), pages,
http (speaks Streamable HTTP on a port of loopback, which is the first line on stdout).
Each tool does one thing; see TOOLS.
"""
import http.server, json, os, sys, threading, time

HABITS = set(sys.argv[1:])
LOCK = threading.Lock()
ANSWERS = {}
CANCELLED = {}


STREAM = threading.local()


def send(message):
    if "http" in HABITS:
        return write_event(json.dumps({"jsonrpc": "2.0", **message}))
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def write_event(data):
    """On the stream of the request that this thread answers."""
    STREAM.file.write(f"event: message\ndata: {data}\n\n".encode())
    STREAM.file.flush()


def beat(cancelled):
    """Over HTTP a client gives a request up by the end of its connection."""
    if "http" in HABITS:
        try:
            STREAM.file.write(b": still here\n\n")
            STREAM.file.flush()
        except OSError:
            cancelled.set()


def raw(text):
    with LOCK:
        sys.stdout.write(text)
        sys.stdout.flush()


def notify(method, params):
    send({"method": method, "params": params})


def text(value):
    return {"content": [{"type": "text", "text": value}], "isError": False}


def ask(method, params):
    """Asks the client and waits for what it says: (result, error)."""
    with LOCK:
        ask.last += 1
        name = f"question-{ask.last}"
    event = threading.Event()
    ANSWERS[name] = [event, None]
    send({"id": name, "method": method, "params": params})
    event.wait(30)
    message = ANSWERS.pop(name)[1] or {}
    return message.get("result"), message.get("error")


ask.last = 0


def tool_echo(arguments, params, cancelled):
    return {
        "content": [{"type": "text", "text": json.dumps(arguments), "vendor": 1.50}],
        "structuredContent": {"z": 1, "a": arguments},
        "_meta": {"seen": params.get("_meta")},
        "vendorMember": [1],
    }


def tool_progress(arguments, params, cancelled):
    token = params.get("_meta", {}).get("progressToken")
    for step in range(1, arguments.get("steps", 3) + 1):
        if token is not None:
            notify("notifications/progress", {"progressToken": token, "progress": step, "total": 3, "message": f"step {step} of {arguments.get('who')}"})
    return text("done")


def tool_log(arguments, params, cancelled):
    notify("notifications/message", {"level": arguments.get("level", "info"), "logger": "l", "data": arguments.get("data", "hello")})
    return text("logged")


def tool_ask(arguments, params, cancelled):
    if "modern" in HABITS:
        answers = params.get("inputResponses")
        if answers is None:
            question = {"method": "elicitation/create", "params": {"message": arguments["question"], "requestedSchema": {"type": "object", "properties": {}}}}
            return {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "state-1"}
        return text(json.dumps({"answer": answers["q"], "state": params.get("requestState")}))
    result, error = ask("elicitation/create", {"message": arguments["question"], "requestedSchema": {"type": "object", "properties": {}}})
    if error:
        return {**text("refused: " + error["message"]), "isError": True}
    return text(json.dumps(result))


def tool_wait(arguments, params, cancelled):
    """Until it is cancelled, or the file is there."""
    while not cancelled.is_set():
        if "file" in arguments and os.path.exists(arguments["file"]):
            return text("waited")
        time.sleep(0.005)
        beat(cancelled)
    if "mark" in arguments:
        open(arguments["mark"], "w").close()
    return None


def tool_garbage(arguments, params, cancelled):
    raw("this is no JSON\n{\"jsonrpc\": \"2.0\"}\n[1, 2]\n\x00\x01\n\n" * arguments.get("times", 1))
    return text("garbage was written")


def tool_large(arguments, params, cancelled):
    return text("x" * arguments["bytes"])


def tool_broken(arguments, params, cancelled):
    return {"content": [], "structuredContent": {"mean": float("nan")}}


def tool_take_back(arguments, params, cancelled):
    """Asks, and gives the question up."""
    send({"id": "given-up", "method": "elicitation/create", "params": {"message": "never mind", "requestedSchema": {"type": "object", "properties": {}}}})
    notify("notifications/cancelled", {"requestId": "given-up"})
    return text("took it back")


def tool_die(arguments, params, cancelled):
    sys.stderr.write("going down\n")
    sys.stderr.flush()
    raw('{"jsonrpc": "2.0", "id": 1, "resu' if arguments.get("mid_line") else "")
    os._exit(arguments.get("status", 7))


def tool_close_stdout(arguments, params, cancelled):
    os.close(1)
    while True:
        time.sleep(1)


def tool_stop_reading(arguments, params, cancelled):
    STOPPED.set()
    return text("reads no more")


def tool_change(arguments, params, cancelled):
    notify(f"notifications/{arguments['what']}/list_changed", {})
    notify("notifications/resources/updated", {"uri": "test://a"})
    return text("changed")


def tool_roots(arguments, params, cancelled):
    """What the greeting offered, and what comes of asking for roots in spite of it."""
    result, error = ask("roots/list", {})
    return text(json.dumps({"offered": sorted(OFFERED), "result": result, "error": error}))


def tool_watched(arguments, params, cancelled):
    """The resources that somebody subscribes to."""
    return text(json.dumps(sorted(uri for uris in list(WATCHED.values()) for uri in uris)))


def tool_levels(arguments, params, cancelled):
    """The levels of log messages that were asked for, in their order."""
    return text(json.dumps(LEVELS))


def tool_error(arguments, params, cancelled):
    raise ValueError("no good")


STOPPED = threading.Event()
OFFERED = []
WATCHED = {}
LEVELS = []
TOOLS = {name[5:]: function for name, function in list(globals().items()) if name.startswith("tool_")}


def tools(params):
    schema = {"type": "object", "vendor": True}
    listed = [{"name": name, "inputSchema": schema, "vendorMember": {"k": 1.0}} for name in TOOLS]
    if "bad-list" in HABITS:
        deep = schema
        for _ in range(200):
            deep = {"type": "object", "properties": {"deep": deep}}
        listed += [{"name": "deep", "inputSchema": deep}]
        listed += [{"name": "two words", "inputSchema": schema}, {"name": "echo", "inputSchema": schema}, "nothing", {"name": "bare"}]
    if "pages" not in HABITS:
        return {"tools": listed}
    start = int(params.get("cursor", 0))
    page = {"tools": listed[start : start + 5]}
    if start + 5 < len(listed):
        page["nextCursor"] = str(start + 5)
    return page


CAPABILITIES = {"tools": {"listChanged": True}, "logging": {}, "prompts": {}, "resources": {"subscribe": True}, "completions": {}}


def result_of(method, params, cancelled):
    if method == "initialize" and "modern" not in HABITS:
        OFFERED.extend(params["capabilities"])
        return {"protocolVersion": "2025-06-18", "capabilities": CAPABILITIES, "serverInfo": {"name": "misbehave", "version": "1"}, "instructions": "Use with care."}
    if method == "server/discover" and "modern" in HABITS:
        return {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES, "ttlMs": 0, "cacheScope": "private"}
    if method == "tools/list":
        return tools(params)
    if method == "prompts/list":
        return {"prompts": [{"name": "greet", "arguments": [{"name": "who", "required": True}], "vendorMember": 1}]}
    if method == "resources/list":
        return {"resources": [{"uri": "test://a", "name": "a", "vendorMember": 1}]}
    if method == "resources/templates/list":
        return {"resourceTemplates": [{"uriTemplate": "test://{x}", "name": "x"}]}
    if method == "resources/read":
        return {"contents": [{"uri": params["uri"], "text": "content", "vendorMember": 1}]}
    if method == "prompts/get":
        return {"description": "d", "messages": [{"role": "user", "content": {"type": "text", "text": "hello " + params["arguments"]["who"]}}]}
    if method == "completion/complete":
        return {"completion": {"values": [params["argument"]["value"] + "1"], "total": 9, "hasMore": True}}
    if method == "logging/setLevel":
        LEVELS.append(params["level"])
        sys.stderr.write("level " + params["level"] + "\n")
        sys.stderr.flush()
        return {}
    if method == "ping":
        return {}
    if method == "resources/subscribe" and "modern" not in HABITS:
        WATCHED[params["uri"]] = [params["uri"]]
        return {}
    if method == "resources/unsubscribe" and "modern" not in HABITS:
        WATCHED.pop(params["uri"])
        return {}
    if method == "subscriptions/listen" and "resourceSubscriptions" in params["notifications"]:
        WATCHED[cancelled] = params["notifications"]["resourceSubscriptions"]
        while not cancelled.wait(0.02):
            beat(cancelled)
        WATCHED.pop(cancelled)
        return None
    if method == "tools/call":
        return TOOLS[params["name"]](params.get("arguments", {}), params, cancelled)
    raise KeyError(method)


def answer(id, method, params, cancelled):
    try:
        result = result_of(method, params, cancelled)
    except KeyError:
        if "no-probe" not in HABITS:
            send({"id": id, "error": {"code": -32601, "message": "Method not found"}})
    except Exception as error:
        send({"id": id, "error": {"code": -32000, "message": str(error), "data": {"kind": type(error).__name__}}})
    else:
        if result is not None:
            send({"id": id, "result": result})
    finally:
        CANCELLED.pop(id, None)


class Endpoint(http.server.BaseHTTPRequestHandler):
    """One endpoint of Streamable HTTP: each request is answered by a stream of its own."""

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, id, params = message.get("method"), message.get("id"), message.get("params", {})
        if "modern" not in HABITS and self.headers.get("MCP-Protocol-Version") == "2026-07-28":
            return self.whole(400, {"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": "Bad Request: Unsupported protocol version"}})
        if method is None or id is None:
            take(message)
            return self.whole(202)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if method == "initialize":
            self.send_header("Mcp-Session-Id", "s1")
        self.send_header("Connection", "close")
        self.end_headers()
        STREAM.file = self.wfile
        cancelled = CANCELLED[id] = threading.Event()
        try:
            answer(id, method, params, cancelled)
        except OSError:
            pass

    def do_GET(self):
        self.whole(405)

    def do_DELETE(self):
        self.whole(204)

    def whole(self, status, message=None):
        body = json.dumps(message).encode() if message else b""
        self.send_response(status)
        if message:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def take(message):
    """An answer or a notification."""
    method, id, params = message.get("method"), message.get("id"), message.get("params", {})
    if method is None:
        if id in ANSWERS:
            ANSWERS[id][1] = message
            ANSWERS[id][0].set()
    elif method == "notifications/cancelled" and params.get("requestId") in CANCELLED:
        CANCELLED[params["requestId"]].set()


def main():
    if "http" in HABITS:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        print(server.server_address[1], flush=True)
        return server.serve_forever()
    if "banner" in HABITS:
        raw("Welcome to the server!\n\n")
    if "slow-start" in HABITS:
        time.sleep(0.3)
    if "die" in HABITS:
        sys.stderr.write("I have no licence\n")
        sys.exit(4)
    while "deaf" in HABITS:
        time.sleep(1)
    first = True
    for line in sys.stdin:
        message = json.loads(line)
        method, id, params = message.get("method"), message.get("id"), message.get("params", {})
        if first and "strict" in HABITS and method != "initialize":
            sys.stderr.write(f"expected initialize, got {method}\n")
            sys.exit(1)
        first = False
        if "mute" in HABITS:
            continue
        if method is None or id is None:
            take(message)
        else:
            cancelled = CANCELLED[id] = threading.Event()
            threading.Thread(target=answer, args=(id, method, params, cancelled), daemon=True).start()
        while STOPPED.is_set():
            time.sleep(1)


main()

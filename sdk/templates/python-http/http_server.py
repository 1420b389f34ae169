"""MCP's Streamable HTTP, as far as a server without sessions needs it: a message in, its answer out as JSON."""

import json

from app import answer
from componentize_py_types import Err, Ok
from wit_world.imports.types import (
    Fields,
    Method_Post,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler:
    def handle(self, request, response_out):
        path = (request.path_with_query() or "").split("?")[0]
        if not isinstance(request.method(), Method_Post):
            return respond(response_out, 405)
        if path != "/mcp":
            return respond(response_out, 404)
        try:
            said = answer(json.loads(read(request)))
        except ValueError as error:
            said = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": str(error)}}
            return respond(response_out, 400, said)
        respond(response_out, 202 if said is None else 200, said)


def read(request) -> bytes:
    data = bytearray()
    with request.consume() as body, body.stream() as stream:
        while True:
            try:
                data += stream.blocking_read(1 << 16)
            except Err:
                return bytes(data)


def respond(out, status, said=None):
    headers = Fields.from_list([] if said is None else [("content-type", b"application/json")])
    response = OutgoingResponse(headers)
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    if said is not None:
        data = json.dumps(said).encode()
        with body.write() as stream:
            for start in range(0, len(data), 4096):
                stream.blocking_write_and_flush(data[start : start + 4096])
    OutgoingBody.finish(body, None)

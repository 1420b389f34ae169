"""Reads the tools of an MCP endpoint as clients do: usage: lint_tools.py URL|FILE

FILE holds the results of the lists in one JSON object: {"tools": [...], "prompts": [...], "resources": [...], "resourceTemplates": [...]}.

Lists them by the Python SDK, compiles every schema as its validator does, and converts every tool by the published converters of OpenAI, Google and
Anthropic: whatever of these is installed. Prints one line of JSON: {"tools": N, "readers": [...], "problems": [...]}.
"""

import asyncio
import contextlib
import copy
import importlib.metadata
import json
import logging
import re
import signal
import sys
import warnings

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

# Seconds that a reader may take over one tool: it may write out every reference.
PATIENCE = 20
NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
MAX_SAFE = 2**53 - 1
problems = []
readers = []


def reader(package):
    try:
        readers.append(f"{package} {importlib.metadata.version(package)}")
        return True
    except importlib.metadata.PackageNotFoundError:
        return False


def attempt(who, tool, what):
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        return what()
    except Exception as error:  # Whatever it is: the reader fails on it.
        problems.append(f"{who}: tool {tool}: {type(error).__name__}: {str(error)[:300]}")
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def too_long(*_):
    raise TimeoutError(f"more than {PATIENCE} s")


def walk(value, path=""):
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}/{index}")


def validator(schema):
    import jsonschema
    import referencing

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    kind.check_schema(schema)
    registry = referencing.Registry().with_resource("", referencing.jsonschema.DRAFT202012.create_resource(schema))
    for path, value in walk(schema):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) > MAX_SAFE:
            raise ValueError(f"{path} is {value}")
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                registry.resolver().lookup(value["$ref"])
            if isinstance(value.get("pattern"), str) and path.rsplit("/", 1)[-1] != "properties":
                re.compile(value["pattern"])
    # An empty answer reads the whole schema's top as the SDK does for each answer.
    list(kind(schema).iter_errors({}))


def field(tool, old, new):
    return getattr(tool, old, None) or getattr(tool, new, None)


def gemini(tool):
    from google.genai import _mcp_utils, types

    converted = _mcp_utils.mcp_to_gemini_tool(tool)
    for schema in every(converted.function_declarations[0].parameters):
        # It has no references, and ends a definition that is in itself where it likes: nothing that is published changes that.
        if schema.type == types.Type.ARRAY and schema.items is None and not is_recursive(tool):
            raise ValueError("an array without items")
        if schema.any_of and any(not (one.type or one.any_of or one.ref or one.nullable) for one in schema.any_of):
            raise ValueError("an alternative without a type")
        if schema.enum and not all(isinstance(value, str) and value for value in schema.enum):
            raise ValueError("an enum that is not of texts")
    converted.model_dump_json()


def is_recursive(tool):
    definitions = field(tool, "inputSchema", "input_schema").get("$defs", {})
    texts = {name: json.dumps(definition) for name, definition in definitions.items()}
    leads = {name: {other for other in definitions if f'"#/$defs/{other}"' in text} for name, text in texts.items()}

    def reached(name):
        found, left = set(), list(leads[name])
        while left:
            other = left.pop()
            if other not in found:
                found.add(other)
                left.extend(leads[other])
        return found

    return any(name in reached(name) for name in definitions)


def every(schema):
    if schema is None:
        return
    yield schema
    for inner in [schema.items, *(schema.any_of or []), *(schema.properties or {}).values()]:
        yield from every(inner)


def openai(tool):
    from agents.mcp import MCPServerStreamableHttp, util
    from agents.strict_schema import ensure_strict_json_schema

    util.MCPUtil.to_function_tool(tool, MCPServerStreamableHttp({"url": "http://127.0.0.1/mcp"}), convert_schemas_to_strict=True)
    schema = copy.deepcopy(field(tool, "inputSchema", "input_schema"))
    if any(isinstance(value, dict) and "additionalProperties" in value for _, value in walk(schema)):
        return  # A map has no strict form, whoever writes it.
    ensure_strict_json_schema(schema)


def anthropic(tool):
    from anthropic.lib.tools.mcp import async_mcp_tool

    made = async_mcp_tool(tool, None).to_dict()
    top = made["input_schema"]
    if top.get("type") != "object" or any(key in top for key in ("anyOf", "oneOf", "allOf")):
        raise ValueError("alternatives at the top")


class Stored:
    """A server that answers by a file, on two streams of memory. What an MCP SDK calls a transport."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.lists = json.load(file)

    def result(self, method, params):
        if method == "initialize":
            capabilities = {"tools": {}, "prompts": {}, "resources": {}}
            info = {"name": "stored", "version": "1"}
            return {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": info}
        member = {
            "tools/list": "tools",
            "prompts/list": "prompts",
            "resources/list": "resources",
            "resources/templates/list": "resourceTemplates",
        }.get(method)
        return {member: self.lists.get(member, [])} if member else None

    async def answer(self, requests, answers):
        from mcp import types
        from mcp.shared.message import SessionMessage

        async for request in requests:
            message = json.loads(request.message.model_dump_json(by_alias=True, exclude_none=True))
            if "id" not in message:
                continue
            result = self.result(message["method"], message.get("params"))
            end = {"error": {"code": -32601, "message": "Method not found"}} if result is None else {"result": result}
            answer = {"jsonrpc": "2.0", "id": message["id"], **end}
            kind = types.JSONRPCMessage
            # A class of one member in SDK 1.x, a union in 2.x.
            parsed = kind.model_validate(answer) if hasattr(kind, "model_validate") else parse(kind, answer)
            await answers.send(SessionMessage(parsed))

    @contextlib.asynccontextmanager
    async def connect(self):
        import anyio

        answers, read = anyio.create_memory_object_stream(16)
        write, requests = anyio.create_memory_object_stream(16)
        async with anyio.create_task_group() as tasks, answers, read, write, requests:
            tasks.start_soon(self.answer, requests, answers)
            yield read, write
            tasks.cancel_scope.cancel()

    async def __aenter__(self):
        self.open = self.connect()
        return await self.open.__aenter__()

    async def __aexit__(self, *error):
        return await self.open.__aexit__(*error)


def parse(kind, value):
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(value)


def connection(source):
    if source.startswith(("http://", "https://")):
        from mcp.client.streamable_http import streamablehttp_client

        return streamablehttp_client(source)
    return Stored(source)


async def listed(source):
    found = []
    if importlib.metadata.version("mcp").startswith("1."):
        from mcp import ClientSession

        async with connection(source) as (read, write, *_), ClientSession(read, write) as session:
            await session.initialize()
            cursor = None
            while True:
                page = await session.list_tools(cursor)
                found += page.tools
                cursor = page.nextCursor
                if not cursor:
                    break
            for method in (session.list_prompts, session.list_resources, session.list_resource_templates):
                try:
                    await method()
                except Exception as error:
                    if "Method not found" not in str(error):
                        problems.append(f"mcp: {method.__name__}: {error}"[:300])
        return found
    from mcp import Client

    async with Client(source if source.startswith("http") else Stored(source)) as client:
        found += (await client.list_tools()).tools
    return found


async def main():
    signal.signal(signal.SIGPROF, too_long)
    if not reader("mcp"):
        print(json.dumps({"tools": 0, "readers": [], "problems": []}))
        return
    tools = await listed(sys.argv[1])
    checks_schemas = reader("jsonschema")
    converters = [
        (name, convert) for name, convert in [("google-genai", gemini), ("openai-agents", openai), ("anthropic", anthropic)] if reader(name)
    ]
    for tool in tools:
        if not NAME.match(tool.name):
            problems.append(f"names: {tool.name!r} is not what model APIs take")
        if checks_schemas:
            attempt("jsonschema", tool.name, lambda: validator(field(tool, "inputSchema", "input_schema")))
        output = field(tool, "outputSchema", "output_schema")
        if checks_schemas and output is not None:
            attempt("jsonschema", tool.name, lambda: validator(output))
        for name, convert in converters:
            attempt(name, tool.name, lambda: convert(tool))
    print(json.dumps({"tools": len(tools), "readers": readers, "problems": problems}))


asyncio.run(main())

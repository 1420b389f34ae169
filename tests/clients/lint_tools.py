"""Reads the tools of an MCP endpoint as clients do: usage: lint_tools.py URL

Lists them by the Python SDK that is installed, compiles every schema as its validator does, and converts every tool by the published converters of
OpenAI, Google and Anthropic where they are installed. Prints one line of JSON: {"tools": N, "readers": [...], "problems": [...]}.
"""

import asyncio
import copy
import importlib.metadata
import json
import logging
import re
import sys
import warnings

import jsonschema
import referencing

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

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
    try:
        return what()
    except Exception as error:  # Whatever it is: the reader fails on it.
        problems.append(f"{who}: tool {tool}: {type(error).__name__}: {str(error)[:300]}")
        return None


def walk(value, path=""):
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}/{index}")


def validator(schema):
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
    return any(f'"#/$defs/{name}"' in json.dumps(definition) for name, definition in definitions.items())


def every(schema):
    if schema is None:
        return
    yield schema
    for inner in [schema.items, *(schema.any_of or []), *(schema.properties or {}).values()]:
        yield from every(inner)


def openai(tool):
    from agents.mcp import MCPServerStreamableHttp, util
    from agents.strict_schema import ensure_strict_json_schema

    util.MCPUtil.to_function_tool(tool, MCPServerStreamableHttp({"url": sys.argv[1]}), convert_schemas_to_strict=True)
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


async def listed(url):
    found = []
    if importlib.metadata.version("mcp").startswith("1."):
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
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

    async with Client(url) as client:
        found += (await client.list_tools()).tools
    return found


async def main():
    reader("mcp")
    tools = await listed(sys.argv[1])
    converters = [
        (name, convert) for name, convert in [("google-genai", gemini), ("openai-agents", openai), ("anthropic", anthropic)] if reader(name)
    ]
    for tool in tools:
        if not NAME.match(tool.name):
            problems.append(f"names: {tool.name!r} is not what model APIs take")
        attempt("jsonschema", tool.name, lambda: validator(field(tool, "inputSchema", "input_schema")))
        output = field(tool, "outputSchema", "output_schema")
        if output is not None:
            attempt("jsonschema", tool.name, lambda: validator(output))
        for name, convert in converters:
            attempt(name, tool.name, lambda: convert(tool))
    print(json.dumps({"tools": len(tools), "readers": readers, "problems": problems}))


asyncio.run(main())

"""The Python SDK's client as one that can be asked. usage: mcp_asking.py URL|COMMAND auto|legacy '["TOOL", ...]'; prints one line of JSON: what each tool answered."""

import asyncio
import json
import sys

import mcp.types as types
from mcp import Client, StdioServerParameters


async def elicit(_context, _params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ann", "color": "blue"})


async def sample(_context, _params) -> types.CreateMessageResult:
    return types.CreateMessageResult(role="assistant", content=types.TextContent(type="text", text="Welcome"), model="none")


async def roots(_context) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri="file:///home/ann", name="Home")])


def server(target: str) -> str | StdioServerParameters:
    """A URL, or a command as a JSON list."""
    if not target.startswith("["):
        return target
    command, *args = json.loads(target)
    return StdioServerParameters(command=command, args=args)


async def main(url: str, mode: str, tools: str) -> None:
    callbacks = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
    async with Client(server(url), mode=mode, read_timeout_seconds=30, **callbacks) as client:
        texts = [(await client.call_tool(tool, {})).content[0].text for tool in json.loads(tools)]
        print(json.dumps({"negotiated": client.protocol_version, "texts": texts}))


asyncio.run(main(*sys.argv[1:]))

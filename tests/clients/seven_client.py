"""The Python SDK's client for the plugins of examples/author: it answers the question for a cake, and counts progress.

usage: seven_client.py URL|COMMAND auto|legacy '[["TOOL", {ARGUMENTS}], ...]'; prints one line of JSON: the text of each answer, and how often progress was told.
"""

import asyncio
import json
import sys

import mcp.types as types
from mcp import Client, StdioServerParameters


async def elicit(_context, params) -> types.ElicitResult:
    assert set(params.requested_schema["properties"]) == {"cake", "pieces"}, params
    return types.ElicitResult(action="accept", content={"cake": "apple", "pieces": 2})


def server(target: str) -> str | StdioServerParameters:
    """A URL, or a command as a JSON list."""
    if not target.startswith("["):
        return target
    command, *args = json.loads(target)
    return StdioServerParameters(command=command, args=args)


async def main(url: str, mode: str, calls: str) -> None:
    told = []

    async def progress(done, total, text):
        told.append([done, total, text])

    texts = []
    async with Client(server(url), mode=mode, read_timeout_seconds=60, elicitation_callback=elicit) as client:
        for tool, arguments in json.loads(calls):
            result = await client.call_tool(tool, arguments, progress_callback=progress)
            text = "".join(getattr(block, "text", "") for block in result.content)
            texts.append(("failed: " if result.is_error else "") + text)
    print(json.dumps({"texts": texts, "progress": told}))


asyncio.run(main(*sys.argv[1:]))

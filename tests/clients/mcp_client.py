"""The Python SDK's client. usage: mcp_client.py URL|COMMAND auto|legacy|REVISION '[["TOOL", {ARGUMENTS}], ...]'; prints one line of JSON."""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters


def server(target: str) -> str | StdioServerParameters:
    """A URL, or a command as a JSON list."""
    if not target.startswith("["):
        return target
    command, *args = json.loads(target)
    return StdioServerParameters(command=command, args=args)


async def main(url: str, mode: str, calls: str) -> None:
    async with Client(server(url), mode=mode, read_timeout_seconds=30) as client:
        report = {"negotiated": client.protocol_version, "tools": [], "results": []}
        report["tools"] = [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in (await client.list_tools()).tools]
        for tool, arguments in json.loads(calls):
            result = await client.call_tool(tool, arguments)
            report["results"].append(result.model_dump(by_alias=True, exclude_none=True, mode="json"))
        print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))

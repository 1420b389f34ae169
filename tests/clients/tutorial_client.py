"""The client of the tutorials, with the Python SDK that they pin (mcp 1.11). usage: tutorial_client.py URL '[["TOOL", {ARGUMENTS}], ...]'; prints one line of JSON."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main(url: str, calls: str) -> None:
    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
        hello = await session.initialize()
        report = {"negotiated": hello.protocolVersion, "tools": [], "results": []}
        report["tools"] = [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in (await session.list_tools()).tools]
        for tool, arguments in json.loads(calls):
            result = await session.call_tool(tool, arguments)
            report["results"].append(result.model_dump(by_alias=True, exclude_none=True, mode="json"))
        print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))

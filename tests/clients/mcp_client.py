"""The Python SDK's client. usage: mcp_client.py URL auto|legacy|REVISION '[["TOOL", {ARGUMENTS}], ...]'; prints one line of JSON."""

import asyncio
import json
import sys

from mcp import Client


async def main(url: str, mode: str, calls: str) -> None:
    async with Client(url, mode=mode, read_timeout_seconds=30) as client:
        report = {"negotiated": client.protocol_version, "tools": [], "results": []}
        report["tools"] = [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in (await client.list_tools()).tools]
        for tool, arguments in json.loads(calls):
            result = await client.call_tool(tool, arguments)
            report["results"].append(result.model_dump(by_alias=True, exclude_none=True, mode="json"))
        print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))

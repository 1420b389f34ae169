"""The client of fastmcp. usage: fastmcp_client.py URL|COMMAND '[["TOOL", {ARGUMENTS}], ...]'; prints one line of JSON."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport


async def main(url: str, calls: str) -> None:
    # A URL, or a command as a JSON list.
    command, *args = json.loads(url) if url.startswith("[") else [None]
    async with Client(StdioTransport(command, args) if command else url) as client:
        report = {"negotiated": getattr(client.session, "protocol_version", None), "tools": [], "results": []}
        report["tools"] = [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in await client.list_tools()]
        for tool, arguments in json.loads(calls):
            result = await client.call_tool(tool, arguments, raise_on_error=False)
            content = [block.model_dump(by_alias=True, exclude_none=True, mode="json") for block in result.content]
            report["results"].append({"content": content, "structuredContent": result.structured_content, "isError": result.is_error})
        print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))

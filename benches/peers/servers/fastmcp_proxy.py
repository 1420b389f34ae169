"""FastMCP as a gateway before the MCP server at $UPSTREAM, with one session of it for all calls: the cheaper of its two ways."""

import os
from contextlib import asynccontextmanager

from fastmcp import Client
from fastmcp.server import create_proxy
from starlette.applications import Starlette


@asynccontextmanager
async def lifespan(app: Starlette):
    async with Client(os.environ["UPSTREAM"]) as client:
        gateway = create_proxy(client, name="gateway").http_app(path="/mcp", json_response=True, stateless_http=True)
        app.mount("/", gateway)
        async with gateway.lifespan(gateway):
            yield


app = Starlette(lifespan=lifespan)

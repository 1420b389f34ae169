"""FastMCP behind uvicorn, without sessions and with JSON answers."""

from fastmcp import FastMCP

import nws

server = FastMCP("weather")
server.tool(nws.get_alerts)
server.tool(nws.add)
app = server.http_app(path="/mcp", json_response=True, stateless_http=True)

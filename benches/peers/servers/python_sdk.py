"""The newest Python SDK behind uvicorn, without sessions and with JSON answers."""

from mcp.server.mcpserver import MCPServer

import nws

server = MCPServer("weather", log_level="ERROR")
server.tool()(nws.get_alerts)
server.tool()(nws.add)
app = server.streamable_http_app(json_response=True, stateless_http=True)

"""The same on Ray Serve with what makes it cheaper: the newest SDK, JSON answers, no FastAPI, many requests a replica."""

from mcp.server.mcpserver import MCPServer
from ray import serve
from starlette.applications import Starlette

import nws


def weather() -> Starlette:
    """Made in each replica: it cannot be sent to one."""
    server = MCPServer("weather", log_level="ERROR")
    server.tool()(nws.get_alerts)
    server.tool()(nws.add)
    return server.streamable_http_app(json_response=True, stateless_http=True)


@serve.deployment(num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 1})
@serve.ingress(weather)
class Weather:
    pass


app = Weather.bind()

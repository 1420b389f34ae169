"""The server of the Ray Serve tutorials as they publish it: FastMCP of the SDK 1.11 without sessions, inside FastAPI, autoscaled from one replica."""

from contextlib import asynccontextmanager

from fastapi import FastAPI
from mcp.server.fastmcp import FastMCP
from ray import serve

import nws

mcp = FastMCP("weather", stateless_http=True)
mcp.tool(name="get_alerts")(nws.get_alerts_as_published)
mcp.tool()(nws.add)


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.mount("/", mcp.streamable_http_app())
    async with mcp.session_manager.run():
        yield


api = FastAPI(lifespan=lifespan)


@serve.deployment(
    autoscaling_config={"min_replicas": 1, "max_replicas": 20, "target_ongoing_requests": 5},
    ray_actor_options={"num_cpus": 0.2},
)
@serve.ingress(api)
class Weather:
    pass


app = Weather.bind()

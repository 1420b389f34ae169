import os
import shelve
from pathlib import Path

import httpx2
from fastmcp import Client, Context, FastMCP
from pydantic import BaseModel

mcp = FastMCP("seven")


@mcp.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
async def length(url: str) -> int:
    """Counts the characters of a page."""
    async with httpx2.AsyncClient(follow_redirects=True, timeout=30) as client:
        return len((await client.get(url)).raise_for_status().text)


class Order(BaseModel):
    cake: str
    pieces: int


@mcp.tool
async def order(ctx: Context) -> str:
    """Orders a cake."""
    reply = await ctx.elicit("Which cake?", response_type=Order)
    return f"{reply.data.pieces} pieces of {reply.data.cake}" if reply.action == "accept" else "no cake"


@mcp.tool(annotations={"readOnlyHint": True})
async def double(number: float, ctx: Context) -> float:
    """Doubles a number by the tool `add`."""
    await ctx.report_progress(1, 2, "adding")
    async with Client(os.environ["TOOLS_URL"]) as tools:
        return (await tools.call_tool("add", {"a": number, "b": number})).data.result


@mcp.tool
async def visit(name: str, ctx: Context) -> int:
    """Counts the visits of somebody."""
    await ctx.info(f"{name} is here")
    with shelve.open("visits") as visits:
        visits[name] = visits.get(name, 0) + 1
        return visits[name]


@mcp.tool(annotations={"readOnlyHint": True})
def note(name: str) -> str:
    """Reads a note."""
    return (Path("/notes") / f"{name}.txt").read_text()


mcp.run()

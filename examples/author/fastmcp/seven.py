from pathlib import Path
from typing import Annotated

import httpx
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.utilities.types import Image
from pydantic import BaseModel, Field

mcp = FastMCP("seven")


@mcp.tool(annotations={"readOnlyHint": True})
def greet(
    name: Annotated[str, Field(description="Whom.")],
    times: Annotated[int, Field(ge=1, le=9)] = 1,
) -> str:
    """Greets somebody."""
    return " ".join([f"Hello, {name}!"] * times)


class Sum(BaseModel):
    sum: float
    count: int


@mcp.tool(annotations={"readOnlyHint": True})
async def add(numbers: list[float], ctx: Context) -> Sum:
    """Adds numbers."""
    if not numbers:
        raise ToolError("there is nothing to add")
    await ctx.report_progress(1, 2, "adding")
    return Sum(sum=sum(numbers), count=len(numbers))


class Order(BaseModel):
    cake: str
    pieces: int


@mcp.tool
async def order(ctx: Context) -> str:
    """Orders a cake."""
    reply = await ctx.elicit("Which cake?", response_type=Order)
    if reply.action == "accept":
        return f"{reply.data.pieces} pieces of {reply.data.cake}"
    return "no cake"


@mcp.tool(annotations={"readOnlyHint": True})
def dot() -> Image:
    """A red dot."""
    return Image(data=Path("dot.png").read_bytes(), format="png")


@mcp.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
async def read(url: str) -> str:
    """Reads a page."""
    async with httpx.AsyncClient(follow_redirects=True, timeout=30) as client:
        return (await client.get(url)).raise_for_status().text


mcp.run()

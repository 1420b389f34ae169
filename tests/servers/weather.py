"""The weather server of the tutorials: FastMCP, stateless Streamable HTTP. usage: weather.py [PORT]; without a port it speaks stdio."""

import os
import sys
from typing import Any

import httpx
from mcp.server.fastmcp import FastMCP

NWS_API_BASE = os.environ.get("NWS_API_BASE", "https://api.weather.gov")
USER_AGENT = "weather-app/1.0"

port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
mcp = FastMCP("weather", stateless_http=True, port=port, log_level="WARNING")


async def make_nws_request(url: str) -> dict[str, Any] | None:
    headers = {"User-Agent": USER_AGENT, "Accept": "application/geo+json"}
    async with httpx.AsyncClient() as client:
        try:
            response = await client.get(url, headers=headers, timeout=30.0)
            response.raise_for_status()
            return response.json()
        except Exception:
            return None


def format_alert(feature: dict) -> str:
    props = feature["properties"]
    return f"""
Event: {props.get('event', 'Unknown')}
Area: {props.get('areaDesc', 'Unknown')}
Severity: {props.get('severity', 'Unknown')}
Description: {props.get('description', 'No description available')}
Instructions: {props.get('instruction', 'No specific instructions provided')}
"""


@mcp.tool()
async def get_alerts(state: str) -> str:
    """Get weather alerts for a US state.

    Args:
        state: Two-letter US state code (e.g. CA, NY)
    """
    data = await make_nws_request(f"{NWS_API_BASE}/alerts/active/area/{state}")
    if not data or "features" not in data:
        return "Unable to fetch alerts or no alerts found."
    if not data["features"]:
        return "No active alerts for this state."
    return "\n---\n".join(format_alert(feature) for feature in data["features"])


if __name__ == "__main__":
    mcp.run(transport="streamable-http" if len(sys.argv) > 1 else "stdio")

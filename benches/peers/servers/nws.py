"""The tools of the weather tutorial, and `add`: what every Python server here offers."""

import os

import httpx

BASE = os.environ.get("NWS_API_BASE", "https://api.weather.gov")
HEADERS = {"User-Agent": "weather-app/1.0", "Accept": "application/geo+json"}


async def fetch(client: httpx.AsyncClient, url: str) -> dict | None:
    try:
        response = await client.get(url, headers=HEADERS, timeout=30.0)
        response.raise_for_status()
        return response.json()
    except (httpx.HTTPError, ValueError):
        return None


def alert_text(feature: dict) -> str:
    properties = feature["properties"]
    return (
        f"Event: {properties.get('event', 'Unknown')}\n"
        f"Area: {properties.get('areaDesc', 'Unknown')}\n"
        f"Severity: {properties.get('severity', 'Unknown')}\n"
        f"Description: {properties.get('description', 'No description available')}\n"
        f"Instructions: {properties.get('instruction', 'No specific instructions provided')}"
    )


def alerts_text(data: dict | None) -> str:
    if not data or "features" not in data:
        return "Unable to fetch alerts or no alerts found."
    if not data["features"]:
        return "No active alerts for this state."
    return "\n---\n".join(alert_text(feature) for feature in data["features"])


async def get_alerts_as_published(state: str) -> str:
    """Weather alerts of a state of the USA. state: two letters, such as CA."""
    # A client for each request, as the tutorial makes it.
    async with httpx.AsyncClient() as client:
        return alerts_text(await fetch(client, f"{BASE}/alerts/active/area/{state}"))


CLIENT: httpx.AsyncClient | None = None


async def get_alerts(state: str) -> str:
    """Weather alerts of a state of the USA. state: two letters, such as CA."""
    global CLIENT
    # One client for all requests, with connections that stay open.
    CLIENT = CLIENT or httpx.AsyncClient()
    return alerts_text(await fetch(CLIENT, f"{BASE}/alerts/active/area/{state}"))


async def add(a: float, b: float) -> float:
    """Adds two numbers."""
    return a + b

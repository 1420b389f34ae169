"""The Python SDK's OAuth client. usage: mcp_oauth.py URL LOGIN TOOL '{ARGUMENTS}' [CLIENT_ID]; prints one line of JSON.

With CLIENT_ID it is a client that the authorization server knows, in place of one that registers itself.
"""

import asyncio
import json
import re
import sys
from urllib.parse import parse_qs, urljoin, urlparse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

REDIRECT = "http://127.0.0.1:9/callback"


class Kept:
    tokens = None
    client = None

    def __init__(self):
        self.scopes = []

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.scopes.append(tokens.scope)
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def authorize(url: str, login: str) -> AuthorizationCodeResult:
    """What a person does in a browser: logs in, and consents."""
    async with httpx2.AsyncClient() as browser:
        method, data = "GET", None
        for _ in range(20):
            response = await browser.request(method, url, data=data)
            if location := response.headers.get("location"):
                url, method, data = urljoin(url, location), "GET", None
                query = parse_qs(urlparse(url).query)
                if "code" in query:
                    return AuthorizationCodeResult(code=query["code"][0], state=query.get("state", [None])[0], iss=query.get("iss", [None])[0])
                continue
            action = re.search(r'action="([^"]+)"', response.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', response.text)
            assert action and prompt, f"no form at {url}: {response.status_code} {response.text}"
            url, method = urljoin(url, action[1]), "POST"
            data = {"prompt": prompt[1]} | ({"login": login, "password": "x"} if prompt[1] == "login" else {})
    raise AssertionError("the authorization server sends in circles")


async def main(url: str, login: str, tool: str, arguments: str, known: str | None = None) -> None:
    kept, visits = Kept(), []
    if known:
        kept.client = OAuthClientInformationFull(client_id=known, redirect_uris=[REDIRECT], token_endpoint_auth_method="none")

    async def redirect(to: str) -> None:
        visits.append(to)

    async def callback() -> AuthorizationCodeResult:
        return await authorize(visits[-1], login)

    metadata = OAuthClientMetadata(
        client_name="toolbay-e2e", redirect_uris=[REDIRECT], grant_types=["authorization_code", "refresh_token"], response_types=["code"]
    )
    provider = OAuthClientProvider(server_url=url, client_metadata=metadata, storage=kept, redirect_handler=redirect, callback_handler=callback)
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http), read_timeout_seconds=30) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            result = await client.call_tool(tool, json.loads(arguments))
            report = {"tools": tools, "result": result.model_dump(by_alias=True, exclude_none=True, mode="json")}
            print(json.dumps(report | {"scope": kept.tokens.scope, "scopes": kept.scopes, "refresh": bool(kept.tokens.refresh_token)}))


asyncio.run(main(*sys.argv[1:]))

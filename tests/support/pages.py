"""A page of a web app in a browser: it reads answers only as far as the Fetch standard lets it."""

from collections.abc import Mapping
from typing import Any

import httpx

SAFE_METHODS = {"GET", "HEAD", "POST"}
SAFE_TO_SEND = {"accept", "accept-language", "content-language"}
SAFE_TO_READ = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified"}


class NotAllowed(Exception):
    """The browser keeps the answer from the page, or does not even send the request."""


class Page:
    """A page of an origin, which asks a service of another one."""

    def __init__(self, client: httpx.AsyncClient, origin: str) -> None:
        self._client = client
        self._origin = origin

    async def fetch(
        self, path: str, headers: Mapping[str, str], method: str = "GET", json: Any = None
    ) -> tuple[int, dict[str, str], str]:
        """Give what the page sees of an answer: status, the headers that it may read, body. Raises `NotAllowed`."""
        await self._ask_first(path, method, headers)
        response = await self._client.request(method, path, headers={**headers, "Origin": self._origin}, json=json)
        self._check_origin(response)
        readable = SAFE_TO_READ | _names(response, "access-control-expose-headers")
        shown = {name: value for name, value in response.headers.items() if name in readable}
        return response.status_code, shown, response.text

    async def _ask_first(self, path: str, method: str, headers: Mapping[str, str]) -> None:
        """Send a preflight (Fetch, 4.8), which every request with a key needs, and which itself has none."""
        unsafe = {name.lower() for name in headers} - SAFE_TO_SEND
        exchange = {
            "Origin": self._origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(sorted(unsafe)),
        }
        response = await self._client.options(path, headers=exchange)
        self._check_origin(response)
        if not response.is_success:
            raise NotAllowed(f"the preflight got a {response.status_code}")
        if method not in SAFE_METHODS | {name.upper() for name in _names(response, "access-control-allow-methods")}:
            raise NotAllowed(f"the method {method}")
        if refused := unsafe - _names(response, "access-control-allow-headers"):
            raise NotAllowed(f"the headers {refused}")

    def _check_origin(self, response: httpx.Response) -> None:
        if response.headers.get("access-control-allow-origin") != self._origin:
            raise NotAllowed("the origin")


def _names(response: httpx.Response, header: str) -> set[str]:
    return {name.strip().lower() for name in response.headers.get(header, "").split(",")}

"""HTTP out of this process: httpx's interface over aiohttp, to one origin, with bounded bodies and no redirect."""

import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator
from functools import cache
from typing import Final

import aiohttp
import httpx
from yarl import URL

from app.errors import InternalError, MalformedAnswer

QUERY: Final = "query"
"""The request extension that holds the query: httpx takes longer to read it in a URL than to send the request."""


class SingleOriginTransport(httpx.AsyncBaseTransport):
    """Let requests out to one origin only, whatever was asked for and wherever a redirect points."""

    def __init__(self, url: str, inner: httpx.AsyncBaseTransport) -> None:
        self._origin: Final = _origin(httpx.URL(url))
        self._inner: Final = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on. Raises `InternalError`, before anything is sent, if it is for another origin."""
        if _origin(request.url) != self._origin:
            raise InternalError("A request was for another origin than the upstream's, and was not sent.")
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Send httpx's requests, which have no body, over a session of aiohttp. Raises what either of them raises."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session: Final = session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and give its answer as soon as its headers are there."""
        try:
            url = URL(str(request.url))
        except ValueError:
            raise httpx.ConnectError("The URL names no place.") from None
        if (query := request.extensions.get(QUERY)) is not None:
            url = url.with_query(query)
        headers = {name.decode(): value.decode() for name, value in request.headers.raw}
        answer = await self._session.request(request.method, url, headers=headers, allow_redirects=False)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


class _Body(httpx.AsyncByteStream):
    """An answer's body as it comes. Closing it before its end gives the connection up."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer: Final = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._answer.content.readany():
            yield chunk

    async def aclose(self) -> None:
        """Let the connection go."""
        self._answer.release()


def open_transport(connections: int, trust: ssl.SSLContext) -> AiohttpTransport:
    """Open a transport of at most so many connections, which trusts the given authorities."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30, ssl=trust),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(),
    )
    return AiohttpTransport(session)


@cache
def trust_authorities() -> ssl.SSLContext:
    """Trust the usual authorities, which are read once in a process: that takes some hundredths of a second."""
    return httpx.create_ssl_context(trust_env=False)


async def read_body(chunks: AsyncIterable[bytes], most_bytes: int) -> bytes:
    """Read a body whole. Raises `MalformedAnswer` as soon as it is larger than `most_bytes`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most_bytes:
            raise MalformedAnswer(f"The upstream's answer is larger than {most_bytes} bytes.")
    return bytes(body)


def describe_cause(error: BaseException | None) -> str:
    """Say in our own words what kept us from an answer: the deepest cause that is known tells the most."""
    reason = "the exchange failed"
    while error is not None:
        match error:
            case ConnectionRefusedError():
                reason = "connection refused"
            case socket.gaierror():
                reason = "its name is not known"
            case ssl.SSLError() | ssl.CertificateError():
                reason = "no secure connection"
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | ConnectionError():
                reason = "the connection broke"
        error = error.__cause__ or error.__context__
    return reason


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Give scheme, host and port (RFC 6454, section 4)."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)

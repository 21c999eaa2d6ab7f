"""The wire to the upstream: the only httpx of the program, and the only place that opens the token."""

import socket
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from app.errors import MalformedAnswer, Unreachable
from app.secrecy import Secret
from app.upstream.envelope import Answer

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
TOKEN_HEADER: Final = "X-BH-TOKEN"  # noqa: S105  # the header's name, not a token


class Transport:
    """Send GET requests with the token to one origin, over kept connections.

    Follows no redirect, reads no proxy from the environment, keeps no cookie, decompresses nothing, and reads at most
    `MAX_BODY_BYTES` of a body. It sets no deadline: whoever calls does, and may cancel.
    """

    def __init__(self, url: str, token: Secret, *, connections: int) -> None:
        self._url: Final = url
        self._token: Final = token
        self._connections: Final = connections
        self._client: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(
            base_url=self._url,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tallygate"},
            transport=AiohttpTransport(trust_env=False, client=_open_session(self._connections)),
            timeout=None,  # noqa: S113  # per phase, so no deadline: the caller's stands around the whole call
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """Send one request and read its answer whole. May be cancelled at any point and repeated.

        Raises `Unreachable` if no answer came or it broke off, `MalformedAnswer` if it is larger than allowed.
        """
        try:
            async with self._client.stream(
                "GET", path, params=params, headers={TOKEN_HEADER: self._token.reveal()}
            ) as response:
                return Answer(response.status_code, dict(response.headers), await _read(response))
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise Unreachable(f"The upstream cannot be reached: {_reason(error)}.") from error


def _open_session(connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=connections, keepalive_timeout=30, ssl=httpx.create_ssl_context(trust_env=False)
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise MalformedAnswer(f"The upstream's answer is larger than {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def _reason(error: BaseException | None) -> str:
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

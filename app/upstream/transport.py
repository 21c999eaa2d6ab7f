"""The wire: the only httpx of the program, and the only place that opens the upstream's token to send it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from functools import cache
from types import TracebackType
from typing import Final, Self

import aiohttp
import httpx
from msgspec import Struct
from yarl import URL

from app.errors import InternalError, IssuerUnavailable, MalformedAnswer, Unreachable
from app.secret import Secret
from app.upstream.envelope import UpstreamResponse

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
MAX_DOCUMENT_BYTES: Final = 256 * 1024
TOKEN_HEADER: Final = "X-BH-TOKEN"  # noqa: S105  # the header's name, not a token

_HEADERS: Final = httpx.Headers(
    {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tallygate"}
)
_QUERY: Final = "query"
"""What of a request's URL is told apart from it, in an extension: httpx takes longer to read a URL than to send a request."""


class SecretHeader(Struct, frozen=True):
    """What a request shows of us: a secret, and the header that it goes into."""

    header: str
    secret: Secret


class Transport:
    """Send GET requests to one origin, over kept connections, each showing a secret.

    Follows no redirect, reads no proxy from the environment, keeps no cookie, decompresses nothing, and reads at most
    `MAX_BODY_BYTES` of a body. It sets no deadline: whoever calls does, and may cancel. httpx's client is left out: what
    it would do besides is what we do not want, and it took half of the time.
    """

    def __init__(self, url: str, *, connections: int) -> None:
        self._url: Final = url
        self._connections: Final = connections
        self._urls: Final[dict[str, httpx.URL]] = {}
        self._wire: httpx.AsyncBaseTransport

    async def __aenter__(self) -> Self:
        self._wire = SingleOriginTransport(self._url, _open_wire(self._connections, trust_authorities()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.aclose()

    async def get(self, path: str, params: Mapping[str, str], shown: SecretHeader) -> UpstreamResponse:
        """Send one request and read its answer whole. May be cancelled at any point and repeated.

        Raises `Unreachable` if no answer came or it broke off, `MalformedAnswer` if it is larger than allowed.
        """
        headers = _HEADERS.copy()
        headers[shown.header] = shown.secret.reveal()
        nothing = httpx.ByteStream(b"")
        request = httpx.Request("GET", self._find(path), headers=headers, stream=nothing, extensions={_QUERY: params})
        try:
            async with aclosing(await self._wire.handle_async_request(request)) as response:
                body = await _read(response.aiter_raw(), MAX_BODY_BYTES)
                return UpstreamResponse(response.status_code, response.headers, body)
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise Unreachable(f"The upstream cannot be reached: {_describe_cause(error)}.") from error

    def _find(self, path: str) -> httpx.URL:
        """Give the URL of a path, or of a whole URL. There are few, and each is read once."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(path if "://" in path else f"{self._url.rstrip('/')}{path}")
        return url


async def fetch_document(url: str, *, ca_file: str | None = None, bearer: Secret | None = None) -> bytes:
    """Read a small document of an issuer, over a connection of its own, showing nothing of us but `bearer`.

    `ca_file` is trusted instead of the usual authorities. No redirect is followed, and no deadline set. May be cancelled
    and repeated. Raises `IssuerUnavailable`.
    """
    shown = {} if bearer is None else {"Authorization": f"Bearer {bearer.reveal()}"}
    try:
        where = httpx.URL(url)
        trust = await asyncio.to_thread(_trust, ca_file)
        async with (
            httpx.AsyncClient(transport=_open_wire(1, trust), timeout=None, trust_env=False) as client,  # noqa: S113
            client.stream(
                "GET", where, headers={"Accept-Encoding": "identity", "User-Agent": "tallygate", **shown}
            ) as got,
        ):
            if got.status_code != httpx.codes.OK:
                raise IssuerUnavailable(f"It answered with status {got.status_code}.")
            return await _read(got.aiter_raw(), MAX_DOCUMENT_BYTES)
    except MalformedAnswer:
        raise IssuerUnavailable(f"Its answer is larger than {MAX_DOCUMENT_BYTES} bytes.") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, aiohttp.ClientError) as error:
        raise IssuerUnavailable(f"It cannot be reached: {_describe_cause(error)}.") from error


@cache
def trust_authorities() -> ssl.SSLContext:
    """Trust the usual authorities, which are read once in a process: that takes some hundredths of a second."""
    return httpx.create_ssl_context(trust_env=False)


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Read whom to trust. Raises `IssuerUnavailable` if the file is gone or no good."""
    if ca_file is None:
        return trust_authorities()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise IssuerUnavailable(f"{ca_file} cannot be used as authorities ({error.strerror}).") from None


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
        if (query := request.extensions.get(_QUERY)) is not None:
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


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Give scheme, host and port (RFC 6454, section 4)."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _open_wire(connections: int, trust: ssl.SSLContext) -> AiohttpTransport:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30, ssl=trust),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(),
    )
    return AiohttpTransport(session)


async def _read(chunks: AsyncIterable[bytes], most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most_bytes:
            raise MalformedAnswer(f"The upstream's answer is larger than {most_bytes} bytes.")
    return bytes(body)


def _describe_cause(error: BaseException | None) -> str:
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

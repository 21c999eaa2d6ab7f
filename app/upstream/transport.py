"""The wire: the only httpx of the program, and the only place that opens the upstream's token to send it."""

from collections.abc import Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

import aiohttp
import httpx
from msgspec import Struct

from app.egress.transport import (
    QUERY,
    SingleOriginTransport,
    describe_cause,
    open_transport,
    read_body,
    trust_authorities,
)
from app.errors import Unreachable
from app.secret import Secret
from app.upstream.envelope import UpstreamResponse

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
TOKEN_HEADER: Final = "X-BH-TOKEN"  # noqa: S105  # the header's name, not a token

_HEADERS: Final = httpx.Headers(
    {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tallygate"}
)


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
        self._wire = SingleOriginTransport(self._url, open_transport(self._connections, trust_authorities()))
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
        request = httpx.Request("GET", self._find(path), headers=headers, stream=nothing, extensions={QUERY: params})
        try:
            async with aclosing(await self._wire.handle_async_request(request)) as response:
                body = await read_body(response.aiter_raw(), MAX_BODY_BYTES)
                return UpstreamResponse(response.status_code, response.headers, body)
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise Unreachable(f"The upstream cannot be reached: {describe_cause(error)}.") from error

    def _find(self, path: str) -> httpx.URL:
        """Give the URL of a path, or of a whole URL. There are few, and each is read once."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(path if "://" in path else f"{self._url.rstrip('/')}{path}")
        return url

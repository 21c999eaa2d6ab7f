"""The upstream's transport: the only place that opens its token to send it."""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlencode

from msgspec import Struct

from app.egress.connection import BodyTooLong, ExchangeFailed, OnUnsolicited
from app.egress.pool import ConnectionPool, Origin, PoolOptions
from app.egress.transport import describe_cause, write_headers, write_request_line
from app.errors import InternalError, MalformedAnswer, Unreachable
from app.secret import Secret
from app.upstream.envelope import UpstreamResponse

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
TOKEN_HEADER: Final = "X-BH-TOKEN"  # noqa: S105  # the header's name, not a token

_LEAST_SECRET_BYTES: Final = 8
"""A shorter secret may stand in an answer by chance."""

_JSON_ESCAPE: Final = re.compile(rb'\\(?:u00([2-7][0-9A-Fa-f])|(["\\/]))')
"""Escapes of visible ASCII (RFC 8259, section 7). Encoders of pages write `/` and `=` this way unasked."""

_HEADERS: Final = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"tallygate"),
)


class SecretHeader(Struct, frozen=True):
    """A secret that a request shows, and the header that it goes into."""

    header: str
    secret: Secret


class _ShownHeaders:
    """The headers of all requests that show a secret, written once. It has no repr that would show it."""

    __slots__ = ("shown", "value", "written")

    def __init__(self, origin: Origin, shown: SecretHeader) -> None:
        self.shown: Final = shown
        self.value: Final = shown.secret.reveal().encode("ascii")
        self.written: Final = write_headers(origin, (*_HEADERS, (shown.header.encode("ascii"), self.value)))


class Transport:
    """Send GET requests to one origin, over kept connections, each showing a secret.

    Follows no redirect, reads no proxy from the environment, keeps no cookie, decompresses nothing, tries nothing twice,
    and reads at most `MAX_BODY_BYTES` of a body. It sets no deadline: the caller does, and may cancel.
    """

    def __init__(self, url: str, options: PoolOptions, on_unsolicited: OnUnsolicited = lambda _: None) -> None:
        self._origin: Final = Origin.of(url)
        self._pool: Final = ConnectionPool(self._origin, options, on_unsolicited)
        self._headers: _ShownHeaders | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    async def get(self, path: str, params: Mapping[str, str], shown: SecretHeader) -> UpstreamResponse:
        """Send one request and read its answer whole. May be cancelled at any point and repeated.

        Raises `Unreachable` if no answer came or it broke off, `MalformedAnswer` if it is larger than allowed.
        """
        target = self._target(path, params)
        headers = self._write_headers(shown)
        try:
            answer = await self._pool.exchange(
                target, write_request_line("GET", target) + headers.written, MAX_BODY_BYTES
            )
        except BodyTooLong:
            raise MalformedAnswer(f"The upstream's answer is larger than {MAX_BODY_BYTES} bytes.") from None
        except (ExchangeFailed, OSError, UnicodeError) as error:
            cause = describe_cause(error)
            raise Unreachable(
                f"The upstream cannot be reached: {cause.public}.",
                reason=cause.reason,
                is_repeatable=isinstance(error, ExchangeFailed) and error.is_repeatable,
            ) from error
        if _repeats(answer.body, headers.value):
            raise MalformedAnswer("The upstream's answer repeats our secret.")
        return UpstreamResponse(answer.status, answer.headers, answer.body)

    def _write_headers(self, shown: SecretHeader) -> _ShownHeaders:
        """Write the headers, or give those of the last request if it showed the same."""
        headers = self._headers
        if headers is None or headers.shown is not shown:
            headers = self._headers = _ShownHeaders(self._origin, shown)
        return headers

    def _target(self, path: str, params: Mapping[str, str]) -> str:
        """Give the request target. A whole URL is taken if it is of our origin, and refused before anything is sent if not."""
        if "://" in path:
            if _origin_of(path) != self._origin:
                raise InternalError("A request was for another origin than the upstream's, and was not sent.")
            path = "/" + path.split("://", 1)[1].partition("/")[2]
        return f"{_quote(path)}?{'&'.join(map(_write_parameter, params.items()))}" if params else _quote(path)


def _write_parameter(parameter: tuple[str, str]) -> str:
    name, value = parameter
    return f"{name}={value}" if (name + value).isalnum() and (name + value).isascii() else urlencode([parameter])


_quote: Final = lru_cache(64)(quote)


def _repeats(body: bytes, secret: bytes) -> bool:
    """Tell whether a body holds a secret, as it is or in JSON's escapes."""
    if len(secret) < _LEAST_SECRET_BYTES:
        return False
    if body.find(secret) >= 0:  # not `in`, which looks for a number first
        return True
    return body.find(b"\\") >= 0 and secret in _JSON_ESCAPE.sub(_unescape, body)


def _unescape(escape: re.Match[bytes]) -> bytes:
    return escape[2] or bytes((int(escape[1], 16),))


def _origin_of(url: str) -> Origin | None:
    try:
        return Origin.of(url)
    except ValueError:
        return None

"""HTTP out of this process: httpx's interface over our own connections, to one origin, with bounded bodies."""

import errno
import random
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Final

import httpx
from msgspec import Struct

from app.egress.connection import ExchangeFailed
from app.egress.pool import ConnectionPool, Origin, PoolOptions
from app.errors import InternalError

_ONE_USE_SECONDS: Final = 60.0

_CERTIFICATE_FAULTS: Final = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is signed by itself",
    19: "its certificate is of an authority that is not trusted",
    20: "its certificate is of an authority that is not trusted",
    21: "its certificate is of an authority that is not trusted",
    62: "its certificate is for another name",
    64: "its certificate is for another address",
}
"""OpenSSL's verification codes (x509_vfy.h) that an operator can act on."""


class Cause(Struct, frozen=True):
    """Why an exchange failed: what callers may read, and what operators need."""

    public: str
    reason: str


_FAILED: Final = "the exchange failed"
_INSECURE: Final = "no secure connection"
_BROKE: Final = Cause("the connection broke", "the connection broke")
_UNKNOWN_NAME: Final = Cause("its name is not known", "its name is not known")
_BY_KIND: Final = (
    (ssl.SSLError, Cause(_INSECURE, "it does not speak TLS as we do")),
    (socket.gaierror, _UNKNOWN_NAME),
    (UnicodeError, _UNKNOWN_NAME),
    (ConnectionRefusedError, Cause("connection refused", "connection refused")),
    (ConnectionError, _BROKE),
)
_BY_NUMBER: Final = {
    errno.EMFILE: "no file descriptors are left",
    errno.ENFILE: "no file descriptors are left",
    errno.ENETUNREACH: "no route leads to it",
    errno.EHOSTUNREACH: "no route leads to it",
}


class PooledTransport(httpx.AsyncBaseTransport):
    """Send httpx's requests, which have no body, to one origin only, wherever a redirect points."""

    def __init__(self, url: str, trust: ssl.SSLContext, max_body_bytes: int) -> None:
        self._origin: Final = _origin_of(httpx.URL(url))
        options = PoolOptions(lambda: trust, _ONE_USE_SECONDS, time.monotonic, random.random)
        self._pool: Final = ConnectionPool(self._origin, options, lambda _: None)
        self._max_body_bytes: Final = max_body_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and give its answer whole. Raises `InternalError`, before anything is sent, for another origin."""
        if _origin_of(request.url) != self._origin:
            raise InternalError("A request was for another origin than the one allowed, and was not sent.")
        target = request.url.raw_path.decode("ascii")
        headers = ((name, value) for name, value in request.headers.raw if name.lower() != b"host")
        head = write_head(request.method, target, self._origin, headers)
        answer = await self._pool.exchange(target, head, self._max_body_bytes)
        return httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body))

    async def aclose(self) -> None:
        """Close all connections."""
        self._pool.close()


def _origin_of(url: httpx.URL) -> Origin:
    return Origin(url.scheme, url.host, url.port or {"http": 80}.get(url.scheme, 443))


def write_head(method: str, target: str, origin: Origin, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a request without a body. Raises `InternalError` if a part of it would end its line."""
    return write_request_line(method, target) + write_headers(origin, headers)


def write_request_line(method: str, target: str) -> bytes:
    """Write the first line of a request. Raises as `write_head` does."""
    line = f"{method} {target} HTTP/1.1"
    _check(line)
    return f"{line}\r\n".encode("ascii")


def write_headers(origin: Origin, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write the rest of a request without a body. Raises as `write_head` does."""
    lines = [b"Host: " + origin.authority.encode("ascii"), *(name + b": " + value for name, value in headers)]
    for line in lines:
        _check(line.decode("latin-1"))
    return b"\r\n".join([*lines, b"", b""])


def _check(line: str) -> None:
    """Take text: `in` looks for a number first where a line is bytes, which takes six times as long."""
    if "\r" in line or "\n" in line or "\0" in line:
        raise InternalError("A request would have held a line break, and was not sent.")


def describe_cause(error: BaseException) -> Cause:
    """Say in our own words what kept us from an answer. Nothing of the error's own text is used."""
    match error:
        case ExchangeFailed(reason=reason):
            return Cause(reason if reason == _BROKE.public else _FAILED, reason)
        case ssl.SSLCertVerificationError(verify_code=code):
            return Cause(_INSECURE, _CERTIFICATE_FAULTS.get(code, "its certificate does not hold"))
        case OSError(errno=number) if number in _BY_NUMBER:
            return Cause(_FAILED, _BY_NUMBER[number])
    known = next((cause for kind, cause in _BY_KIND if isinstance(error, kind)), None)
    return known or Cause(_FAILED, type(error).__name__)

"""One HTTP/1.1 connection: it carries one exchange at a time, and nothing that its peer sends unasked.

The parser is llhttp in its strict mode. It refuses two lengths, a length beside chunks, folded lines and bare line feeds.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Any, Final

import httptools
from msgspec import Struct

MAX_HEAD_BYTES: Final = 64 * 1024
"""How many bytes the status line and the headers of an answer may have, those of interim answers included."""

OnUnsolicited = Callable[[tuple[str, ...]], None]
"""Called when a peer sent bytes that nobody asked for, with the targets of the last two requests, the older one first."""

_INTERIM_BYTES: Final = 32
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_SWITCHING_PROTOCOLS: Final = 101
_FIRST_FINAL_STATUS: Final = 200


class RawResponse(Struct, frozen=True):
    """An answer as it came: lower-case header names, the values of a repeated one joined by commas, the body as sent."""

    status: int
    headers: dict[str, str]
    body: bytes


class ExchangeFailed(Exception):
    """No answer came whole. `reason` is fixed text for operators; it quotes nothing that the peer sent.

    `is_repeatable` says that the connection had rested and that its peer closed it before it sent one byte: the peer
    dropped the connection, not the request (RFC 9112, 9.3.1).
    """

    def __init__(self, reason: str, *, is_repeatable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_repeatable = is_repeatable


class BodyTooLong(ExchangeFailed):
    """The body is longer than the caller reads."""


class Connection(asyncio.Protocol):
    """Send a request, and read its answer to the last byte of its framing and not one byte further.

    Only a connection whose `is_reusable` is true may carry another exchange. Bytes beyond an answer, with it or at any
    time after it, close the connection; `on_unsolicited` is called with the last two targets that it was asked for.
    """

    def __init__(self, on_unsolicited: OnUnsolicited) -> None:
        self._on_unsolicited: Final = on_unsolicited
        self._targets: tuple[str, ...] = ()
        self._transport: Any = None
        self._poll: Any = None
        self._answer: _Answer | None = None
        self._is_kept = False
        self.is_reusable = True
        self.was_unsolicited = False
        self.rests_since = 0.0
        self.expires_at = 0.0

    @property
    def target(self) -> str:
        """The target of the last request, empty before the first."""
        return self._targets[-1] if self._targets else ""

    async def exchange(self, target: str, head: bytes, max_body_bytes: int) -> RawResponse:
        """Send a request without a body, and give its answer. Raises `ExchangeFailed`.

        If cancelled, or if it raises, the connection is closed: nobody else can get the rest of this answer.
        """
        is_kept = bool(self._targets)
        self._targets = (*self._targets[-1:], target)
        answer = self._answer = _Answer(asyncio.get_running_loop().create_future(), max_body_bytes)
        self._transport.write(head)
        try:
            response = await answer.done
            if is_kept and self.was_unsolicited:  # which of the answers is ours cannot be known
                raise ExchangeFailed("it answered more than it was asked", is_repeatable=True)
            return response
        finally:
            self._answer = None
            answer.end_parsing()
            self._is_kept = True
            self.is_reusable &= answer.leaves_connection_clean
            if not self.is_reusable:
                self._transport.abort()

    def is_silent(self) -> bool:
        """Look into the socket: nothing has arrived, not even what the event loop has not yet read."""
        return self.is_reusable and not self._poll.poll(0)

    def close(self) -> None:
        """Close the connection. What it carries fails."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (asyncio.Protocol)."""
        self._transport = transport
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Read what arrived (asyncio.Protocol)."""
        answer = self._answer
        if answer is not None and not answer.done.done():
            answer.feed(data)
            if not answer.has_excess:
                return
        if answer is None or answer.is_complete:  # the rest of one that failed is no wonder
            self._discard_unsolicited()

    def eof_received(self) -> None:
        """End an answer that ends with its connection (asyncio.Protocol)."""
        self.connection_lost(None)

    def connection_lost(self, _: Exception | None) -> None:
        """Fail what is under way (asyncio.Protocol)."""
        self.is_reusable = False
        if self._answer is not None:
            self._answer.end(is_kept=self._is_kept)

    def _discard_unsolicited(self) -> None:
        if self.is_reusable:
            self.is_reusable = False
            self.was_unsolicited = True
            self._on_unsolicited(self._targets)
        self._transport.abort()


class _Answer:
    """The answer that is being read: llhttp's callbacks, and what they found."""

    def __init__(self, done: asyncio.Future[RawResponse], max_body_bytes: int) -> None:
        self.done: Final = done
        self._max_body_bytes: Final = max_body_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: Final[list[bytes]] = []
        self._status = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._has_head = False
        self.is_complete = False
        self._header_bytes = 0
        self._keeps_alive = False
        self._is_framed = False
        self.has_excess = False

    @property
    def leaves_connection_clean(self) -> bool:
        """Tell whether the answer ended where it said that it would, and the connection goes on."""
        return self.is_complete and self._is_framed and self._keeps_alive

    def feed(self, data: bytes) -> None:
        """Parse what arrived. The last byte goes in by itself, so that a byte beyond the answer cannot hide."""
        self._head_bytes += 0 if self._has_head else len(data)
        try:
            if len(data) > 1:
                self._parser.feed_data(data[:-1])
            self.has_excess = self.is_complete
            if not self.has_excess:
                self._parser.feed_data(data[-1:])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.has_excess = self.is_complete
            self._fail(_name_parser_error(error))
        if not self._has_head and self._head_bytes > MAX_HEAD_BYTES:  # a line without an end is in no header yet
            self._fail(ExchangeFailed("its headers are too long"))

    def end_parsing(self) -> None:
        """Drop the parser. It refers back to this answer, which only the garbage collector would free then."""
        del self._parser

    def end(self, *, is_kept: bool) -> None:
        """Take the end of the connection: it ends an answer without a length (RFC 9112, 6.3), and breaks any other."""
        if self.done.done():
            return
        if self._has_head and not self._is_framed:
            self._succeed()
            return
        is_repeatable = is_kept and self._head_bytes == 0
        self._fail(ExchangeFailed("the connection broke", is_repeatable=is_repeatable))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header (llhttp); trailers are dropped."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEAD_BYTES:
            self._fail(ExchangeFailed("its headers are too long"))
        elif not self._has_head:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Judge the framing (llhttp)."""
        if self.is_complete:
            return
        status = self._status = self._parser.get_status_code()
        if self._parser.get_http_version() not in _VERSIONS or status == _SWITCHING_PROTOCOLS:
            self._fail(ExchangeFailed("it does not speak HTTP/1.1"))
            return
        self._has_head = status >= _FIRST_FINAL_STATUS
        coding = self._headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            self._fail(ExchangeFailed("it uses a transfer coding that was not asked for"))
        self._is_framed = coding is not None or "content-length" in self._headers or status in {204, 304}
        self._keeps_alive = self._parser.should_keep_alive()

    def on_body(self, chunk: bytes) -> None:
        """Keep a part of the body (llhttp)."""
        if self.is_complete:
            return
        self._body_bytes += len(chunk)
        if self._body_bytes > self._max_body_bytes:
            self._fail(BodyTooLong("its body is too long"))
        else:
            self._body.append(chunk)

    def on_message_complete(self) -> None:
        """Note the end of the answer; an interim one (RFC 9110, 15.2) is forgotten (llhttp)."""
        if self._has_head:
            self._succeed()
        else:
            self._headers = {}
            self._header_bytes += _INTERIM_BYTES

    def _succeed(self) -> None:
        if not self.done.done():
            self.is_complete = True
            self.done.set_result(RawResponse(self._status, self._headers, b"".join(self._body)))

    def _fail(self, error: ExchangeFailed) -> None:
        if not self.done.done():
            self.done.set_exception(error)


def _name_parser_error(error: Exception) -> ExchangeFailed:
    text = str(error)
    if "Content-Length" in text:
        return ExchangeFailed("its length is wrong, or given twice")
    if "Transfer-Encoding" in text or "chunk" in text:
        return ExchangeFailed("its chunks are wrong")
    return ExchangeFailed("its answer is no HTTP")

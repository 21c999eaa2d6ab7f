"""Connection of a caller: its requests are answered one at a time, in their order."""

import asyncio
from typing import Any, Final

from app.clock import unix_ms
from app.ingress.application import Connections
from app.ingress.ends import has_unread, is_taken, read_address
from app.ingress.exchange import Exchange
from app.ingress.inbox import Inbox
from app.ingress.requests import NotHttp, RequestReader
from app.ingress.responses import date_line, write_head, write_refusal

_READ_BYTES: Final = 16 * 1024
"""How much is read at a time before what was asked is answered: many small requests take far more memory than bytes."""

LINGER_SECONDS: Final = 2.0
"""How long a connection that is closed for writing may stay silent. A reset could cost its peer the answer.

It counts from when the peer has taken that.
"""

LONGEST_LINGER_SECONDS: Final = 30.0
"""How long such a connection is read without use at all."""


class Connection(asyncio.Protocol):
    """Read requests, and have them answered one after the other.

    A request of bytes that were answered before needs no parsing: where nothing else is under way, the application is
    asked for its answer by these bytes.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections: Final = connections
        self._recall: Final = connections.app.recall
        self._transport: Any = None
        self._reader: Any = None
        self._inbox: Final = Inbox(self)
        self._waiting: Final = self._inbox.waiting
        self._exchange: Exchange | None = None
        self._unread = b""
        self._refusal = 0
        self._is_free = True
        self._reads_no_more = False
        self._is_ending = False
        self._has_peer_ended = False
        self._is_lingering = False
        self._is_paused = False
        self._is_blocked = False
        self._drained: asyncio.Future[None] | None = None
        self._answers = 0
        self._answers_before = 0
        self._since = self._closed_at = connections.loop.time()
        self.peer: tuple[str, int] | None = None
        """The address of the caller."""

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport
        self.peer = read_address(transport.get_extra_info("peername"))
        server = read_address(transport.get_extra_info("sockname"))
        self._reader = RequestReader(self._inbox, {"client": self.peer, "server": server})
        self._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell the exchange that is under way."""
        self._transport = None
        self._stop_reading()
        self._inbox.clear()
        self.resume_writing()
        if self._exchange is not None:
            self._exchange.disconnect()
        self._connections.remove(self)

    def data_received(self, data: bytes) -> None:
        """Read what arrived."""
        if self._is_free:
            answer = self._recall(data)
            if answer is not None:
                self._answers += 1
                self._transport.write(answer)
                return
        if self._reads_no_more:
            self._since = self._connections.loop.time()
            return
        came_alone, self._inbox.heads = self._is_free, 0
        self._unread += data
        self._read()
        is_alone = came_alone and self._inbox.heads == 1 and self._reader.is_between and not self._unread
        self._advance(data if is_alone else None)

    def eof_received(self) -> bool:
        """Answer what was asked, and close the connection then. Whoever waits for the caller's end hears of it now."""
        self._has_peer_ended = True
        self._stop_reading()
        self._inbox.lose_request()
        last = self._last
        if last is None or not last.is_received:
            return False
        if self._exchange is not None:
            self._exchange.disconnect()
        last.keeps_alive = False
        return True

    def pause_writing(self) -> None:
        """Begin no other answer, since the peer does not take the last one."""
        self._is_blocked, self._is_free = True, False

    def resume_writing(self) -> None:
        """Go on."""
        self._is_blocked = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._advance()

    # What an exchange calls

    def write(self, data: bytes) -> None:
        """Send bytes, or do nothing if the peer is gone."""
        if self._transport is not None and not self._is_lingering and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer has taken so much that more may be sent, or is gone."""
        if self._is_blocked:
            self._drained = self._connections.loop.create_future()
            await self._drained

    def read_on(self) -> None:
        """Read more of the body."""
        self._inbox.is_full = False
        self._pace()

    def finish(self, exchange: Exchange) -> None:
        """Go on after an answer that is whole."""
        self._exchange = None
        if not exchange.keeps_alive:
            self.close(lingers=exchange.may_be_followed or not exchange.is_received)
        self._advance()

    def abort(self) -> None:
        """End the connection immediately."""
        if self._transport is not None:
            self._transport.abort()

    # What the listener calls

    def close(self, *, lingers: bool = False) -> None:
        """Close the connection once its peer has taken what was sent. Until then, it is only closed for writing.

        `lingers`: the peer is about to send more, so that it is left open for reading in any case.
        """
        self._stop_reading()
        self._inbox.clear()
        if self._transport is None or self._transport.is_closing() or self._is_lingering:
            return
        is_settled = is_taken(self._transport) and not has_unread(self._transport)
        if self._has_peer_ended or (is_settled and not lingers):
            self._transport.close()
        else:
            self._is_lingering = True
            self._closed_at = self._since = self._connections.loop.time()
            self._transport.write_eof()
            self._pace()

    def close_when_idle(self) -> None:
        """Close the connection immediately if no request is under way, else after the answers to those that are.

        One that has arrived and was not read is under way too: the peer would get a reset in place of its answer. One
        that is not whole is not.
        """
        self._is_ending = True
        if self._is_lingering and is_taken(self._transport):
            self.abort()
        self._inbox.lose_request()
        last = self._last
        if last is not None and last.is_received:
            last.keeps_alive = False
        elif last is not None or self._transport is None or not has_unread(self._transport):
            self.close()

    def look(self, now: float, rest_seconds: float) -> None:
        """Close the connection if it has waited `rest_seconds` for the head of a request. `now` is the loop's time."""
        if self._exchange is not None or self._is_blocked or self._answers != self._answers_before:
            self._answers_before, self._since = self._answers, now
        elif self._is_lingering:
            if not is_taken(self._transport):  # the kernel ends the connection of a peer that takes nothing
                self._closed_at = self._since = now
            elif now - self._since >= LINGER_SECONDS or now - self._closed_at >= LONGEST_LINGER_SECONDS:
                self.abort()
        elif now - self._since >= rest_seconds:
            self.close()

    @property
    def _last(self) -> Exchange | None:
        return self._waiting[-1] if self._waiting else self._exchange

    def _advance(self, request: bytes | None = None) -> None:
        """Begin the next exchange, if nothing speaks against it. `request` has all bytes of a lone request."""
        while True:
            if self._waiting and self._exchange is None and not self._is_blocked:
                self._begin(self._waiting.popleft(), request)
            elif self._unread and not self._waiting:
                self._read()
            else:
                break
        if self._refusal and self._last is None:
            self._refuse()
        self._pace()
        is_at_rest = self._last is None and self._reader.is_between
        self._is_free = is_at_rest and not (self._is_blocked or self._reads_no_more)

    def _read(self) -> None:
        """Read a part of what arrived."""
        part, self._unread = self._unread[:_READ_BYTES], self._unread[_READ_BYTES:]
        try:
            self._reader.feed(part)
        except NotHttp as error:
            self._refusal = error.status
            self._stop_reading()
            self._inbox.lose_request()
            if self._exchange is not None and not (self._exchange.is_received or self._exchange.has_begun):
                self._refuse()

    def _begin(self, exchange: Exchange, request: bytes | None) -> None:
        self._answers += 1
        exchange.keeps_alive &= not self._is_ending
        app = self._connections.app
        if exchange.keeps_alive and exchange.is_received:
            answer = app.answer_now(exchange.scope, request)
            if answer is not None:
                start, body = answer
                head = write_head(start["status"], start["headers"])
                self.write(b"%b%b\r\n%b" % (head, date_line(unix_ms() // 1000), body["body"]))
                return
        self._exchange = exchange
        task = self._connections.loop.create_task(exchange.run(app))
        self._connections.tasks.add(task)
        task.add_done_callback(self._connections.tasks.discard)

    def _refuse(self) -> None:
        self.write(write_refusal(self._refusal, unix_ms() // 1000))
        self._refusal = 0
        self.close(lingers=True)

    def _stop_reading(self) -> None:
        self._reads_no_more, self._is_free, self._unread = True, False, b""

    def _pace(self) -> None:
        """Read while nothing waits, so that neither requests nor a body pile up. Without reading, no end is seen."""
        pauses = (bool(self._waiting or self._unread) or self._inbox.is_full) and not self._reads_no_more
        if self._transport is not None and pauses is not self._is_paused and not self._transport.is_closing():
            self._is_paused = pauses
            (self._transport.pause_reading if pauses else self._transport.resume_reading)()

"""Callers of `app.ingress` without a network."""

import asyncio
from collections import deque
from typing import Any, NamedTuple

import h11

from app.ingress.connection import Connection
from app.ingress.listener import Limits, Listener
from tests.support.answering import App

HIGH_WATER_BYTES = 64 * 1024
PEER = ("192.0.2.7", 4711)
REST_SECONDS = 10.0


class Got(NamedTuple):
    """An answer as a client's own parser reads it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Caller(asyncio.Transport):
    """The transport of a connection, and the caller at its other end. What is sent arrives as soon as it is read."""

    def __init__(self, listener: Listener, peer: tuple[str, int] = PEER) -> None:
        super().__init__({"peername": peer, "sockname": ("192.0.2.1", 80)})
        self.got = bytearray()
        self.has_got_end = False
        self.is_gone = False
        self.was_reset = False
        self.is_read = True
        self._arriving = deque[bytes | None]()
        self._takes_nothing = False
        self._unsent = bytearray()
        self._is_blocked = False
        self._is_closing = False
        self.connection = Connection(listener)
        self.connection.connection_made(self)

    # What the caller does

    def send(self, *parts: bytes) -> None:
        """Send, each part as a read of its own."""
        self._arriving.extend(part for part in parts if part)
        self._arrive()

    def end(self) -> None:
        """Send no more."""
        self._arriving.append(None)
        self._arrive()

    def reset(self) -> None:
        """Break the connection."""
        self._lose(ConnectionResetError())

    def stop_taking(self) -> None:
        """Take nothing of what is answered."""
        self._takes_nothing = True

    def take_on(self) -> None:
        """Take what has waited, and all that follows."""
        self._takes_nothing = False
        self.got += self._unsent
        self._unsent.clear()
        if self._is_blocked:
            self._is_blocked = False
            self.connection.resume_writing()
        if self._is_closing and not self.is_gone:
            self._lose(None)

    def answers(self, *methods: str) -> list[Got]:
        """Give the answers to requests of these methods, in their order. Nothing may come after them."""
        rest, found = bytes(self.got), []
        for method in methods:
            answer, rest = read_answer(rest, method, has_ended=self.has_got_end or self.is_gone)
            found.append(answer)
        assert rest == b""
        return found

    # What the connection does

    def write(self, data: Any) -> None:
        assert not self._is_closing
        assert not self.has_got_end
        if not self._takes_nothing:
            self.got += data
            return
        self._unsent += data
        if len(self._unsent) > HIGH_WATER_BYTES and not self._is_blocked:
            self._is_blocked = True
            self.connection.pause_writing()

    def write_eof(self) -> None:
        self.has_got_end = True

    def pause_reading(self) -> None:
        assert self.is_read
        self.is_read = False

    def resume_reading(self) -> None:
        assert not self.is_read
        self.is_read = True
        asyncio.get_running_loop().call_soon(self._arrive)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing, self.is_read = True, False
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        self.was_reset = True
        self._lose(None)

    def _arrive(self) -> None:
        while self._arriving and self.is_read and not self._is_closing:
            part = self._arriving.popleft()
            if part is not None:
                self.connection.data_received(part)
            elif not self.connection.eof_received():
                self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self.is_gone:
            self._is_closing, self.is_read, self.is_gone = True, False, True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, error)


def listen(app: App, connections: int = 100) -> Listener:
    """Make a listener that hears nothing: callers are brought to it."""
    listener = Listener(asyncio.get_running_loop(), Limits(connections, REST_SECONDS))
    listener.app = app
    return listener


def call(app: App) -> Caller:
    """Connect a caller to an application."""
    return Caller(listen(app))


def post(length: int, *lines: bytes, version: bytes = b"1.1") -> bytes:
    """Make the head of a request with a body."""
    return b"\r\n".join([b"POST /p HTTP/%b" % version, b"Content-Length: %d" % length, *lines, b"", b""])


async def settle() -> None:
    """Wait until nothing is left to do, for less time than any timer needs (virtual time)."""
    await asyncio.sleep(0.001)


def read_answer(data: bytes, method: str, *, has_ended: bool) -> tuple[Got, bytes]:
    """Read one answer out of bytes with a client's own parser. Give the rest, too."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 22)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    if has_ended:
        client.receive_data(b"")
    status, headers, body = 0, list[tuple[bytes, bytes]](), b""
    while True:
        match client.next_event():
            case h11.Response(status_code=status, headers=fields):
                headers = list(fields)
            case h11.Data(data=part):
                body += part
            case h11.EndOfMessage():
                return Got(status, headers, body), client.trailing_data[0]
            case event:
                assert isinstance(event, h11.InformationalResponse), event

"""Listener: accepts connections of callers, bounds them, and closes them in the end."""

import asyncio
import errno
import socket
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from app.ingress.application import Application
from app.ingress.connection import Connection

_BACKLOG: Final = 1024
_ACCEPTS_AT_ONCE: Final = 64
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_PAUSE_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 1.0
_LOOKS_IN_REST: Final = 4
_FIRST_REQUEST_SECONDS: Final = 0.05
"""How long connections that the system had queued at the end may take for their request."""


class Limits(Struct, frozen=True):
    """Bounds of a listener. Of callers, it has so many `connections` at a time: others wait in the system's queue.

    `head_seconds` may pass from a connection's start, or its last answer, until the head of a request is here.
    """

    connections: int
    head_seconds: float


class Listener:
    """Accept connections, and have their requests answered by an application."""

    app: Application

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.loop: Final = loop
        self.tasks: Final[set[asyncio.Task[None]]] = set()
        self._limits: Final = limits
        self._connections: Final[set[Connection]] = set()
        self._opening = 0
        self._listening: socket.socket | None = None
        self._is_accepting = False
        self._is_closing = False
        self._has_ended = asyncio.Event()

    def open(self, listening: socket.socket, app: Application) -> None:
        """Listen and accept at a bound socket that does not block. `close` closes it."""
        listening.listen(_BACKLOG)
        self.app, self._listening = app, listening
        self._go_on()
        self._look()

    async def close(self, patience_seconds: float) -> None:
        """Accept what the system has queued, and no more. Close each connection that has no request under way.

        The others are closed once they are answered and that answer was taken, or after `patience_seconds`.
        """
        if self._listening is not None:
            self._accept(self._limits.connections)
            self._pause()
            self._listening.close()
            self._listening = None
            await asyncio.sleep(_FIRST_REQUEST_SECONDS)
        self._is_closing = True
        for connection in list(self._connections):
            connection.close_when_idle()
        self._note_end()
        try:
            await asyncio.wait_for(self._has_ended.wait(), patience_seconds)
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()

    def cut(self, peers: Collection[tuple[str, int]]) -> None:
        """End the connections of these peers immediately."""
        wanted = frozenset(peers)
        for connection in list(self._connections):
            if connection.peer in wanted:
                connection.abort()

    def add(self, connection: Connection) -> None:
        """Take note of a new connection."""
        self._connections.add(connection)
        if self._is_closing:  # accepted before
            self.loop.call_soon(connection.close_when_idle)

    def remove(self, connection: Connection) -> None:
        """Take note of the end of one: another may be accepted."""
        self._connections.discard(connection)
        self._go_on()
        self._note_end()

    @property
    def _room(self) -> int:
        return self._limits.connections - len(self._connections) - self._opening

    def _go_on(self) -> None:
        """Accept again, if there is room."""
        if self._listening is not None and not self._is_accepting and self._room > 0:
            self._is_accepting = True
            self.loop.add_reader(self._listening, self._accept)

    def _pause(self) -> None:
        if self._listening is not None and self._is_accepting:
            self._is_accepting = False
            self.loop.remove_reader(self._listening)

    def _accept(self, at_most: int = _ACCEPTS_AT_ONCE) -> None:
        """Accept what is queued, as far as there is room, and let others run after some."""
        for _ in range(at_most):
            if self._listening is None or self._room <= 0:
                self._pause()
                return
            try:
                accepted, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause()
                    self.loop.call_later(_EXHAUSTED_PAUSE_SECONDS, self._go_on)
                    return
                continue  # the caller is gone already
            self._opening += 1
            task = self.loop.create_task(self._take(accepted))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _take(self, accepted: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: Connection(self), accepted)
        except OSError:
            accepted.close()
        finally:
            self._opening -= 1
            self._go_on()

    def _look(self) -> None:
        """Close connections that rest too long. Each is looked at once a second, or oftener if it may rest less."""
        if self._has_ended.is_set():
            return
        now, rest_seconds = self.loop.time(), self._limits.head_seconds
        for connection in list(self._connections):
            connection.look(now, rest_seconds)
        self.loop.call_later(min(_LOOK_SECONDS, rest_seconds / _LOOKS_IN_REST), self._look)

    def _note_end(self) -> None:
        if self._listening is None and not self._connections and not self._opening:
            self._has_ended.set()

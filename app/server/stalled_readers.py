"""Stalled readers: the kernel ends connections whose reader takes nothing, or is gone. ASGI has no means for that.

Granian's handler returns, and the connection stays with its queue (2.8.7).
"""

import asyncio
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final

from app.server.lingering_connections import connections_at, sockets_at

STALL_MS: Final = 30_000
"""How long sent bytes may stay unacknowledged, or the reader's window closed (`TCP_USER_TIMEOUT`)."""

UNSENT_BYTES: Final = 16 * 1024
"""How many bytes the kernel queues before it sends them (`TCP_NOTSENT_LOWAT`): they are megabytes without it."""

_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
"""Linux's number, where Python does not know it (before 3.12)."""

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 60.0


def bound_stalls(loop: asyncio.AbstractEventLoop, port: int) -> None:
    """Set the options of this process's listener at `port` as soon as it is there, after the application's start.

    Accepted connections inherit them. Where the system has no such options, nothing changes. The pause between two
    looks doubles each time: a look goes through all descriptors.
    """

    def look(pause_seconds: float) -> None:
        found = False
        for listener in listeners_at(port):
            found = True
            set_options(listener, STALL_MS)
        if not found and pause_seconds < _LONGEST_PAUSE_SECONDS:
            loop.call_later(2 * pause_seconds, look, 2 * pause_seconds)

    loop.call_later(_FIRST_PAUSE_SECONDS, look, _FIRST_PAUSE_SECONDS)


def set_options(listener: socket.socket, stall_ms: int) -> None:
    """Bound how long a reader may take nothing, and what is queued for it."""
    for option, value in ((getattr(socket, "TCP_USER_TIMEOUT", None), stall_ms), (_NOTSENT_LOWAT, UNSENT_BYTES)):
        if option is not None:
            with suppress(OSError):
                listener.setsockopt(socket.IPPROTO_TCP, option, value)


def listeners_at(port: int) -> Iterator[socket.socket]:
    """Give the listening sockets of this process at a port, each while it is looked at."""
    for one in sockets_at(port):
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield one


async def cut_connections(port: int, peers: Collection[tuple[str, int]]) -> None:
    """End the connections at a port whose peers have these addresses. A thread looks through all descriptors."""
    await asyncio.to_thread(_cut_connections, port, peers)


def _cut_connections(port: int, peers: Collection[tuple[str, int]]) -> None:
    wanted = frozenset(peers)
    for connection in connections_at(port):
        host, number, *_ = connection.getpeername()
        if (host, number) in wanted:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

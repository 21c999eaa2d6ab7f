"""Lingering connections: those that outlive a drain are closed, or a worker would not end by itself.

granian waits for each connection that has begun a request or not read its answer (2.8.7), as long as that takes.
"""

import asyncio
import fcntl
import os
import socket
import stat
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_LOOK_SECONDS: Final = 0.1
_DESCRIPTORS: Final = Path("/proc/self/fd")


class LingeringConnections:
    """Close the connections of callers at `port` that have no request under way, once the server has stopped.

    A connection that still sends an answer is closed after `patience_seconds`, as is every other one then.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, port: int, under_way: Callable[[], int], patience_seconds: float
    ) -> None:
        self._loop: Final = loop
        self._port: Final = port
        self._under_way: Final = under_way
        self._patience_seconds: Final = patience_seconds
        self._until = 0.0
        self._silent: frozenset[int] = frozenset()

    def begin_closing(self) -> None:
        """Look at the connections every tenth of a second from now on."""
        self._until = self._loop.time() + self._patience_seconds
        self._look()

    def _look(self) -> None:
        silent = set[int]()
        is_over = self._loop.time() >= self._until
        if is_over or self._under_way() == 0:
            for connection in connections_at(self._port):
                inode = os.fstat(connection.fileno()).st_ino
                # twice in a row, since an answer may be between the server's buffer and the kernel's
                if is_over or (inode in self._silent and not _is_sending(connection)):
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                elif not _is_sending(connection):
                    silent.add(inode)
        self._silent = frozenset(silent)
        self._loop.call_later(_LOOK_SECONDS, self._look)


def connections_at(port: int) -> Iterator[socket.socket]:
    """Give the accepted connections of this process at one of its ports. Where `/proc` is missing, there are none."""
    for one in sockets_at(port):
        with suppress(OSError):
            if one.getpeername():  # a listening socket has no peer
                yield one


def sockets_at(port: int) -> Iterator[socket.socket]:
    """Give the sockets of this process at one of its ports, each while it is looked at."""
    with suppress(FileNotFoundError):
        for descriptor in _DESCRIPTORS.iterdir():
            with suppress(OSError):
                if stat.S_ISSOCK(descriptor.stat().st_mode):
                    with socket.socket(fileno=os.dup(int(descriptor.name))) as one:
                        if _port_of(one) == port:
                            yield one


def _port_of(one: socket.socket) -> int | None:
    match one.getsockname():
        case (_, int(port), *_):
            return port
        case _:
            return None


def _is_sending(connection: socket.socket) -> bool:
    (unsent,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    return bool(unsent)

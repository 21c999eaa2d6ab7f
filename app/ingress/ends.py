"""Ends of a connection: their addresses, and what has arrived at ours."""

import asyncio
import select
import struct
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, Final

_INTEGER: Final = struct.Struct("i")


def read_address(name: Any) -> tuple[str, int] | None:
    """Read the address of an end of a connection as a scope gives it. A socket that has no port has none."""
    match name:
        case (str(host), int(port), *_):
            return host, port
        case _:
            return None


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Look into the socket for bytes, or the peer's end, that the event loop has not yet read."""
    end = transport.get_extra_info("socket")
    if end is None:
        return False
    poll = select.poll()  # select() takes no descriptor above 1,023
    poll.register(end.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def is_taken(transport: asyncio.Transport) -> bool:
    """Tell whether the peer's system has all that was sent."""
    end = transport.get_extra_info("socket")
    if end is None:
        return True
    if transport.get_write_buffer_size():
        return False
    (unsent,) = _INTEGER.unpack(ioctl(end.fileno(), TIOCOUTQ, bytes(_INTEGER.size)))
    return not unsent

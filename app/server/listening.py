"""Listening socket of a worker. The kernel ends its connections whose reader takes nothing, or is gone."""

import socket
from contextlib import suppress
from typing import Final

from app.server.addresses import Address

STALL_MS: Final = 30_000
"""How long sent bytes may stay unacknowledged, or the reader's window closed (`TCP_USER_TIMEOUT`)."""

UNSENT_BYTES: Final = 16 * 1024
"""How many bytes the kernel queues before it sends them (`TCP_NOTSENT_LOWAT`): they are megabytes without it."""

_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
"""Linux's number, where Python does not know it (before 3.12)."""


def bind(address: Address, stall_ms: int = STALL_MS) -> socket.socket:
    """Bind a socket to an address that other workers share. It does not block, and does not listen yet.

    Its connections inherit the bounds of stalls. Raises `OSError` if the address cannot be bound.
    """
    listening = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        listening.settimeout(0)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            listening.setsockopt(socket.SOL_SOCKET, option, 1)
        _bound_stalls(listening, stall_ms)
        listening.bind(address.place)
    except OSError:
        listening.close()
        raise
    return listening


def _bound_stalls(listening: socket.socket, stall_ms: int) -> None:
    """Bound how long a reader may take nothing, and what is queued for it, where the system has such options."""
    for option, value in ((getattr(socket, "TCP_USER_TIMEOUT", None), stall_ms), (_NOTSENT_LOWAT, UNSENT_BYTES)):
        if option is not None:
            with suppress(OSError):
                listening.setsockopt(socket.IPPROTO_TCP, option, value)

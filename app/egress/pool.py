"""Connections to one origin: opened, kept, and given to one exchange at a time."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import aiohappyeyeballs
from msgspec import Struct

from app.egress.connection import Connection, OnUnsolicited, RawResponse

QUIET_SECONDS: Final = 0.25
"""How long a connection must have been silent before it may carry a request for another target.

Nothing in an answer says whose it is, so a late second answer would be taken for the next one. The same target may
follow immediately: a late answer would be its own.
"""

DISTRUST_SECONDS: Final = 600.0
"""How long each exchange gets a connection of its own, after a peer sent what nobody asked for."""

MAX_IDLE_SECONDS: Final = 30.0
MAX_IDLE_CONNECTIONS: Final = 256

_LAST_PORT: Final = 65_535
_NEXT_ADDRESS_SECONDS: Final = 0.25
"""When to try the next address beside the one that has not answered yet (RFC 8305, 5)."""

_PORTS: Final = {"http": 80, "https": 443}


class Origin(Struct, frozen=True):
    """Scheme, host and port (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Read the origin of a URL. Raises `ValueError` for one that has none, or names a user."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
            raise ValueError("This URL names no place.")
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])

    @property
    def authority(self) -> str:
        """The value of the `Host` header: without the port where it is the scheme's own (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class PoolOptions(Struct, frozen=True):
    """How connections are opened and for how long they are kept.

    `trust` gives the TLS settings of a new connection. A connection lives for `max_age_seconds`, give or take a tenth, so that a change of the
    name's addresses is followed although the old place still answers.
    """

    trust: Callable[[], ssl.SSLContext]
    max_age_seconds: float
    monotonic: Callable[[], float]
    random: Callable[[], float]


class ConnectionPool:
    """Carry exchanges with one origin. How many there are at a time is the caller's to bound."""

    def __init__(self, origin: Origin, options: PoolOptions, on_unsolicited: OnUnsolicited) -> None:
        self._origin: Final = origin
        self._options: Final = options
        self._on_unsolicited: Final = on_unsolicited
        self._distrusts_until = float("-inf")
        self._idle: Final[deque[Connection]] = deque()
        self._busy: Final[set[Connection]] = set()

    async def exchange(self, target: str, head: bytes, max_body_bytes: int) -> RawResponse:
        """Send a request and read its answer. There is no second try.

        Sets no deadline: the caller does, by cancelling. Raises `ExchangeFailed`, or the `OSError` or `ssl.SSLError` that
        kept a connection from being made.
        """
        connection = self._take_idle(target) or await self._open()
        self._busy.add(connection)
        try:
            return await connection.exchange(target, head, max_body_bytes)
        finally:
            self._busy.discard(connection)
            self._keep(connection)

    def close(self) -> None:
        """Close all connections. Exchanges under way fail."""
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()

    def _take_idle(self, target: str) -> Connection | None:
        """Take a connection that may carry this target: the last one if it carried it before, else the longest silent."""
        now = self._options.monotonic()
        idle = self._idle
        while idle:
            if idle[-1].target == target:
                connection = idle.pop()
            elif idle[0].rests_since + QUIET_SECONDS <= now:
                connection = idle.popleft()
            else:
                return None
            is_young = now < min(connection.expires_at, connection.rests_since + MAX_IDLE_SECONDS)
            if is_young and connection.is_silent():
                return connection
            connection.close()
        return None

    def _distrust(self, targets: tuple[str, ...]) -> None:
        """Keep no connection for a while: a peer that answers twice once may do so at any moment."""
        self._distrusts_until = self._options.monotonic() + DISTRUST_SECONDS
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._on_unsolicited(targets)

    def _keep(self, connection: Connection) -> None:
        now = self._options.monotonic()
        if connection.is_reusable and len(self._idle) < MAX_IDLE_CONNECTIONS and now >= self._distrusts_until:
            connection.rests_since = now
            self._idle.append(connection)
        else:
            connection.close()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        host, port = self._origin.host, self._origin.port
        if port > _LAST_PORT:  # which some resolvers cut to 16 bits: another port would answer
            raise socket.gaierror(socket.EAI_SERVICE, "no port has this number")
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        where: dict[str, Any]
        if len(addresses) == 1 and addresses[0][0] is socket.AF_INET:  # the loop connects in half the time
            raw, where = None, {"host": addresses[0][4][0], "port": port}
        else:
            raw = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
            )
            where = {"sock": raw}
        is_secure = self._origin.scheme == "https"
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._distrust),
                ssl=self._options.trust() if is_secure else None,
                server_hostname=host if is_secure else None,
                **where,
            )
        except BaseException:
            if raw is not None:
                raw.close()
            raise
        age = self._options.max_age_seconds * (0.9 + 0.2 * self._options.random())
        connection.expires_at = self._options.monotonic() + age
        return connection

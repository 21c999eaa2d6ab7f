"""A lean connection pool, and the check of the private names that it and the pipe rest on, written for `redis>=8.1,<8.2`."""

from inspect import signature
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

_POOL_NAMES: Final = ("_available_connections", "_in_use_connections", "get_available_connection")
_CONNECTION_NAMES: Final = ("can_read", "send_packed_command")
WRITER: Final = "_writer"
_CHECK_HEALTH: Final = "check_health"


class LeanPool(ConnectionPool):
    """A pool without redis-py's locks, events and records, which take longer than a command.

    It must have more connections than are in use together, since nobody waits for one.
    """

    async def get_connection(self, *_: Any, **__: Any) -> AbstractConnection:
        """Lend a connection that seems open and has nothing to read. Raises what connecting raises."""
        connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            if not connection.is_connected or await _is_unusable(connection):
                await connection.disconnect()
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back."""
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)


def missing_names(pool: ConnectionPool) -> list[str]:
    """Give the private names of redis-py that a pool or its connections lack."""
    kind = pool.connection_class
    missing = [name for name in _POOL_NAMES if not hasattr(pool, name)]
    missing += [name for name in _CONNECTION_NAMES if not hasattr(kind, name)]
    untyped: Any = pool
    connection = untyped.make_connection()
    missing += [WRITER] if not hasattr(connection, WRITER) else []
    sends = signature(getattr(kind, "send_packed_command", print)).parameters
    return missing if _CHECK_HEALTH in sends else [*missing, _CHECK_HEALTH]


async def _is_unusable(connection: AbstractConnection) -> bool:
    """Say whether a connection was closed at the other end, or holds a response that nobody waited for."""
    try:
        return await connection.can_read()
    except (RedisError, OSError):
        return True

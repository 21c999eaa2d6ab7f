"""Connections to Redis: one server, Sentinel or Cluster, from one URL."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, RedisSSLContext, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

AnyRedis = Redis | RedisCluster
Word = str | bytes | int | float

CONNECTION_ERRORS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a command may raise: redis-py's tree of errors has two roots."""

MAX_CONCURRENT_COMMANDS: Final = 24
"""How many commands may be under way at once. One more than there are connections would look as if Redis were lost."""

_LATE: Final = 4

_CONNECTIONS: Final = (
    MAX_CONCURRENT_COMMANDS + 8
)  # those for the bus, for a probe, and for what redis-py asks for itself
_DEFAULT_PORTS: Final = {"sentinel": 26379, "cluster": 6379}


def connect(url: str, timeout_seconds: float) -> AnyRedis:
    """Make a client that connects when it is first used. Raises `ValueError` if the URL is none of Redis.

    `redis://`, `rediss://` and `unix://` are as redis-py has them. `redis+sentinel://user:password@host1,host2/name`
    asks Sentinels for the primary called `name`, and `redis+cluster://user:password@host1,host2` finds a cluster from
    some of its nodes; with `rediss+…` over TLS, `?ca=<file>` names the authority. Nothing retries, or waits longer than
    `timeout_seconds` to connect. Whoever asks bounds the wait for an answer: redis-py would make a task for each command to do so. It
    does where it has several servers to ask, one of which may hang.
    """
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # in the third, redis-py writes each message of the bus out as text for a log that nobody reads
    }
    scheme, _, kind = urlsplit(url).scheme.partition("+")
    match kind:
        case "":
            return _connect_one(url, options)
        case "sentinel" if scheme in {"redis", "rediss"}:
            return _connect_sentinel(url, options | _credentials(url), timeout_seconds * _LATE)
        case "cluster" if scheme in {"redis", "rediss"}:
            return _connect_cluster(url, options | _credentials(url) | {"socket_timeout": timeout_seconds * _LATE})
        case _:
            raise ValueError("not a Redis URL")


def is_one_server(client: AnyRedis) -> bool:
    """Tell whether all keys lie at one server, so that one command may name any of them."""
    return isinstance(client, Redis)


async def send_command(client: AnyRedis, words: Sequence[Word]) -> Any:
    """Send one command and give its answer. Raises what redis-py does.

    For one server, it is what `execute_command` does without what that takes most of its time for: retries, events and records
    that we have no use for.
    """
    if not isinstance(client, Redis):
        return await client.execute_command(*words)
    pool: Any = client.connection_pool
    connection: AbstractConnection = await pool.get_connection()
    try:
        await connection.send_packed_command(_pack(words), check_health=False)
        return await connection.read_response()
    finally:
        await pool.release(connection)


async def get_values(client: AnyRedis, names: Sequence[str]) -> list[bytes | None]:
    """Get many values at once: one command for one server, and for a cluster one round trip to each of its nodes."""
    if isinstance(client, Redis):
        values: list[bytes | None] = await send_command(client, ["MGET", *names])
        return values
    async with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.get(name)
        return list(await pipeline.execute())


async def count_subscribers(client: AnyRedis, channel: str) -> int:
    """Tell how many listen on a channel, at whichever node of a cluster each of them does.

    redis-py (8.1) asks one node of a cluster: the one that the channel's name would belong to if it were a key.
    """
    everywhere = {"target_nodes": client.get_nodes()} if isinstance(client, RedisCluster) else {}
    found = await client.execute_command("PUBSUB NUMSUB", channel, **everywhere)
    return sum(int(count) for _, count in found)


def _connect_one(url: str, options: dict[str, Any]) -> Redis:
    pool = _Pool.from_url(url, max_connections=_CONNECTIONS, **options)
    _share_tls_context([pool])
    try:
        pool.make_connection()  # type: ignore[no-untyped-call]  # opens nothing, but takes no unknown option
    except TypeError:
        raise ValueError("the Redis URL has an option that there is not") from None
    return Redis.from_pool(pool)


def _connect_sentinel(url: str, options: dict[str, Any], patience_seconds: float) -> Redis:
    name = urlsplit(url).path.strip("/")
    if not name:
        raise ValueError("the Redis URL of a Sentinel wants the primary's name as its path")
    of_sentinel = {name: value for name, value in options.items() if name not in {"username", "password"}}
    of_sentinel["socket_timeout"] = patience_seconds
    hosts = _hosts(url, _DEFAULT_PORTS["sentinel"])
    sentinel = Sentinel(hosts, sentinel_kwargs=of_sentinel)  # type: ignore[no-untyped-call]
    primary: Redis = sentinel.master_for(
        name, connection_pool_class=_SentinelPool, max_connections=_CONNECTIONS, **options
    )
    _share_tls_context([client.connection_pool for client in (primary, *sentinel.sentinels)])
    return primary


def _connect_cluster(url: str, options: dict[str, Any]) -> RedisCluster:
    nodes = [ClusterNode(host, port) for host, port in _hosts(url, _DEFAULT_PORTS["cluster"])]
    cluster = RedisCluster(startup_nodes=nodes, max_connections=_CONNECTIONS, **options)
    _share_tls_context(cluster.startup_nodes)
    cluster.connection_kwargs["connection_class"] = cluster.startup_nodes[0].connection_class
    return cluster


class _Pool(ConnectionPool):
    """Lend connections and take them back without redis-py's locks, events and records, which take longer than a command.

    There are more than are asked for at once, so nobody ever waits for one.
    """

    async def get_connection(self, *_: Any, **__: Any) -> AbstractConnection:
        """Lend a connection that is open, as far as we know, and has nothing to be read."""
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


async def _is_unusable(connection: AbstractConnection) -> bool:
    """Tell whether a connection was closed at the other end, or holds an answer that nobody waited for."""
    try:
        return await connection.can_read()
    except (RedisError, OSError):
        return True


def _pack(words: Sequence[Word]) -> bytes:
    """Write a command as it goes over the wire (RESP)."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        value = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


class _SentinelPool(SentinelConnectionPool):
    """Close the connections to the Sentinels too, which redis-py leaves open."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def _share_tls_context(holders: Iterable[Any]) -> None:
    """Let all connections of these pools or nodes share one TLS context.

    redis-py makes one for each connection, and reads all of the system's authorities for it: that takes as long as a
    command may, while nothing else runs.
    """
    shared: dict[str, RedisSSLContext] = {}
    for holder in holders:
        if issubclass(holder.connection_class, SSLConnection):
            holder.connection_class = _sharing(holder.connection_class, shared)


def _sharing(kind: Any, shared: dict[str, RedisSSLContext]) -> Any:
    class Sharing(kind):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context: RedisSSLContext = shared.setdefault("context", self.ssl_context)

    return Sharing


def _hosts(url: str, default_port: int) -> list[tuple[str, int]]:
    """Give the hosts of a URL that may name several, with their ports."""
    hosts = urlsplit(url).netloc.rpartition("@")[2]
    parts = [urlsplit(f"//{host}") for host in hosts.split(",")]
    if not all(part.hostname for part in parts):
        raise ValueError("the Redis URL names no host")
    return [(str(part.hostname), part.port or default_port) for part in parts]


def _credentials(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    given: dict[str, Any] = {"username": unquote(user) or None, "password": unquote(password) or None}
    if parts.scheme.startswith("rediss"):
        given |= {"ssl": True, "ssl_ca_certs": parse_qs(parts.query).get("ca", [None])[0]}
    return given

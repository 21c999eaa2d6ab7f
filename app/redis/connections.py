"""Connections to Redis: one server, Sentinel or Cluster, from one URL."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, RedisSSLContext, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from app.redis.pool import LeanPool, missing_names

AnyRedis = Redis | RedisCluster
Word = str | bytes | int | float

CONNECTION_ERRORS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a command may raise: redis-py's tree of errors has two roots."""

MAX_CONCURRENT_COMMANDS: Final = 24
"""How many commands may be in flight. A command without a connection would look like an outage of Redis."""

_SEARCH_TIMEOUTS: Final = 4
"""How many time-outs a Sentinel or a node may take to answer, so that the next one is asked if it hangs."""

_CONNECTIONS: Final = MAX_CONCURRENT_COMMANDS + 8  # for the bus, for a probe, and for redis-py's own questions
_DEFAULT_PORTS: Final = {"sentinel": 26379, "cluster": 6379}

log = structlog.get_logger()


class PlainRedis(Redis):
    """A client of one server that sends every command in redis-py's own way."""


def connect(
    url: str, timeout_seconds: float, *, plain: bool = False, lean: type[ConnectionPool] = LeanPool
) -> AnyRedis:
    """Make a client that connects when it is first used. Raises `ValueError` if the URL is none of Redis.

    `redis://`, `rediss://` and `unix://` are as redis-py has them. `redis+sentinel://user:password@host1,host2/name`
    asks Sentinels for the primary called `name`. `redis+cluster://user:password@host1,host2` finds a cluster from some
    of its nodes. With `rediss+…` over TLS, `?ca=<file>` names the authority.

    Nothing retries, and connecting takes `timeout_seconds` at most. The caller bounds the wait for a response, except
    for Sentinels and clusters: redis-py would make a task for each command. With `plain`, or where `lean` lacks a
    private name, pool and commands are redis-py's own.
    """
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # in version 3, redis-py formats each bus message for a log that nobody reads
    }
    scheme, _, kind = urlsplit(url).scheme.partition("+")
    match kind:
        case "":
            return _connect_one(url, options, None if plain else lean)
        case "sentinel" if scheme in {"redis", "rediss"}:
            options |= _credentials(url)
            return _connect_sentinel(url, options, timeout_seconds * _SEARCH_TIMEOUTS, plain=plain)
        case "cluster" if scheme in {"redis", "rediss"}:
            options |= _credentials(url) | {"socket_timeout": timeout_seconds * _SEARCH_TIMEOUTS}
            return _connect_cluster(url, options)
        case _:
            raise ValueError("not a Redis URL")


def is_one_server(client: AnyRedis) -> bool:
    """Say whether one server holds all keys, so that one command may name any of them."""
    return isinstance(client, Redis)


async def send_command(client: AnyRedis, words: Sequence[Word]) -> Any:
    """Send one command and return its response. Raises `CONNECTION_ERRORS`.

    For one server it does what `execute_command` does, without retries, events and records. Those take most of its
    time, and are not used here. A cancelled command closes its connection.
    """
    if isinstance(client, PlainRedis) or not isinstance(client, Redis):
        return await client.execute_command(*words)
    pool: Any = client.connection_pool
    connection: AbstractConnection = await pool.get_connection()
    try:
        await connection.send_packed_command(_pack(words), check_health=False)
        return await connection.read_response()
    finally:
        await pool.release(connection)


async def get_values(client: AnyRedis, names: Sequence[str]) -> list[bytes | None]:
    """Get many values: one command for one server, one round trip to each node of a cluster."""
    if isinstance(client, Redis):
        values: list[bytes | None] = await send_command(client, ["MGET", *names])
        return values
    async with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.get(name)
        return list(await pipeline.execute())


async def count_subscribers(client: AnyRedis, channel: str) -> int:
    """Count the subscribers of a channel, at all nodes of a cluster.

    redis-py (8.1) asks one node only: the one that would hold the channel's name as a key.
    """
    everywhere = {"target_nodes": client.get_nodes()} if isinstance(client, RedisCluster) else {}
    found = await client.execute_command("PUBSUB NUMSUB", channel, **everywhere)
    return sum(int(count) for _, count in found)


def _connect_one(url: str, options: dict[str, Any], lean: type[ConnectionPool] | None) -> Redis:
    """Make a client of one server, in redis-py's own way without `lean`."""
    pool = (lean or ConnectionPool).from_url(url, max_connections=_CONNECTIONS, **options)
    if lean is not None and not _has_internals(pool):
        return _connect_one(url, options, None)
    _share_tls_context([pool])
    try:
        pool.make_connection()  # type: ignore[no-untyped-call]  # opens nothing, but takes no unknown option
    except TypeError:
        raise ValueError("the Redis URL has an option that there is not") from None
    return (PlainRedis if lean is None else Redis).from_pool(pool)


def _connect_sentinel(url: str, options: dict[str, Any], search_seconds: float, *, plain: bool) -> Redis:
    """Make a client of the primary that Sentinels name. Each of them has `search_seconds` to answer."""
    name = urlsplit(url).path.strip("/")
    if not name:
        raise ValueError("the Redis URL of a Sentinel wants the primary's name as its path")
    of_sentinel = {name: value for name, value in options.items() if name not in {"username", "password"}}
    of_sentinel["socket_timeout"] = search_seconds
    hosts = _hosts(url, _DEFAULT_PORTS["sentinel"])
    sentinel = Sentinel(hosts, sentinel_kwargs=of_sentinel)  # type: ignore[no-untyped-call]
    primary: Redis = sentinel.master_for(
        name,
        redis_class=PlainRedis if plain else Redis,
        connection_pool_class=_SentinelPool,
        max_connections=_CONNECTIONS,
        **options,
    )
    if not plain and not _has_internals(primary.connection_pool):
        return _connect_sentinel(url, options, search_seconds, plain=True)
    _share_tls_context([client.connection_pool for client in (primary, *sentinel.sentinels)])
    return primary


def _has_internals(pool: ConnectionPool) -> bool:
    """Say whether redis-py has the private names that we use, and log those that are missing."""
    missing = missing_names(pool)
    if missing:
        log.warning("library.internals_missing", library="redis", names=missing)
    return not missing


def _connect_cluster(url: str, options: dict[str, Any]) -> RedisCluster:
    nodes = [ClusterNode(host, port) for host, port in _hosts(url, _DEFAULT_PORTS["cluster"])]
    cluster = RedisCluster(startup_nodes=nodes, max_connections=_CONNECTIONS, **options)
    _share_tls_context(cluster.startup_nodes)
    cluster.connection_kwargs["connection_class"] = cluster.startup_nodes[0].connection_class
    return cluster


def _pack(words: Sequence[Word]) -> bytes:
    """Encode a command for the wire (RESP)."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        value = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


class _SentinelPool(SentinelConnectionPool):
    """A pool that also closes the connections to the Sentinels, which redis-py leaves open."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def _share_tls_context(holders: Iterable[Any]) -> None:
    """Share one TLS context among all connections of these pools or nodes.

    redis-py makes one for each connection and reads all of the system's authorities. That blocks the event loop for as
    long as a command may take.
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
    """Read the hosts of a URL that may name several, with their ports."""
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

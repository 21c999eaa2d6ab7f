"""Connections to Redis: one server, Sentinel or Cluster, from one URL."""

import ssl
from collections.abc import Iterable
from typing import Any, Final, assert_never

import structlog
from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, RedisSSLContext, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as NoResponse

from app.redis.pool import LeanPool, missing_names
from app.redis.urls import Kind, Login, RedisUrl, read_redis_url

AnyRedis = Redis | RedisCluster

CONNECTION_ERRORS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What redis-py raises on purpose: its tree of errors has two roots."""

MAX_CONCURRENT_COMMANDS: Final = 24
"""How many commands may be in flight. A command without a connection would look like an outage of Redis."""

_SEARCH_TIMEOUTS: Final = 4
"""How many time-outs a Sentinel or a node may take to answer, so that the next one is asked if it hangs."""

_CONNECTIONS: Final = MAX_CONCURRENT_COMMANDS + 8  # for the bus, for a probe, and for redis-py's own questions

log = structlog.get_logger()


class PlainRedis(Redis):
    """A client of one server that sends every command in redis-py's own way."""


def connect(
    url: str, timeout_seconds: float, *, plain: bool = False, lean: type[ConnectionPool] = LeanPool
) -> AnyRedis:
    """Make a client that connects when it is first used. Raises `ValueError`, see `read_redis_url`.

    Nothing retries, and connecting takes `timeout_seconds` at most. The caller bounds the wait for a response, except
    for Sentinels and clusters: redis-py would make a task for each command. With `plain`, or where `lean` lacks a
    private name, pool and commands are redis-py's own.
    """
    read = read_redis_url(url)
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # in version 3, redis-py formats each bus message for a log that nobody reads
        "client_name": read.client_name,
    }
    search_seconds = timeout_seconds * _SEARCH_TIMEOUTS
    match read.kind:
        case Kind.SERVER:
            return _connect_one(read, options | _credentials(read.login), None if plain else lean)
        case Kind.SENTINEL:
            return _connect_sentinel(read, options, search_seconds, plain=plain)
        case Kind.CLUSTER:
            return _connect_cluster(read, options | _credentials(read.login) | {"socket_timeout": search_seconds})
        case _:
            assert_never(read.kind)


def _connect_one(url: RedisUrl, options: dict[str, Any], lean: type[ConnectionPool] | None) -> Redis:
    """Make a client of one server, in redis-py's own way without `lean`."""
    place: dict[str, Any] = {"db": url.db}
    if url.socket is not None:
        place |= {"connection_class": UnixDomainSocketConnection, "path": url.socket}
    else:
        place |= {"connection_class": SSLConnection if url.tls else Connection}
        place |= {"host": url.hosts[0].name, "port": url.hosts[0].port} | _tls_options(url)
    pool = (lean or ConnectionPool)(max_connections=_CONNECTIONS, **place, **options)
    if lean is not None and not _has_internals(pool):
        return _connect_one(url, options, None)
    _share_tls_context(url, [pool])
    return (PlainRedis if lean is None else Redis).from_pool(pool)


def _connect_sentinel(url: RedisUrl, options: dict[str, Any], search_seconds: float, *, plain: bool) -> Redis:
    """Make a client of the primary that Sentinels name. Each of them has `search_seconds` to answer."""
    tls = {"ssl": True, **_tls_options(url)} if url.tls else {}
    asked = {**options, **tls, **_credentials(url.sentinel_login), "socket_timeout": search_seconds}
    sentinel = Sentinel([], sentinel_kwargs={})  # type: ignore[no-untyped-call]
    sentinel.sentinels = [_SentinelServer(host=host.name, port=host.port, **asked) for host in url.hosts]
    primary: Redis = sentinel.master_for(
        url.primary,
        redis_class=PlainRedis if plain else Redis,
        connection_pool_class=_SentinelPool,
        max_connections=_CONNECTIONS,
        db=url.db,
        **options,
        **tls,
        **_credentials(url.login),
    )
    if not plain and not _has_internals(primary.connection_pool):
        return _connect_sentinel(url, options, search_seconds, plain=True)
    _share_tls_context(url, [client.connection_pool for client in (primary, *sentinel.sentinels)])
    return primary


def _has_internals(pool: ConnectionPool) -> bool:
    """Say whether redis-py has the private names that we use, and log those that are missing."""
    missing = missing_names(pool)
    if missing:
        log.warning("library.internals_missing", library="redis", names=missing)
    return not missing


def _connect_cluster(url: RedisUrl, options: dict[str, Any]) -> RedisCluster:
    tls = {"ssl": True, **_tls_options(url)} if url.tls else {}
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(*host) for host in url.hosts], max_connections=_CONNECTIONS, **options, **tls
    )
    _share_tls_context(url, cluster.startup_nodes)
    cluster.connection_kwargs["connection_class"] = cluster.startup_nodes[0].connection_class
    return cluster


class _SentinelServer(Redis):
    """A Sentinel, of which any trouble is an outage: redis-py would not ask the others after another error."""

    async def sentinel_masters(self) -> Any:
        try:
            return await super().sentinel_masters()
        except (NoConnection, NoResponse):
            raise
        except Exception as error:
            raise NoConnection(str(error)) from error


class _SentinelPool(SentinelConnectionPool):
    """A pool that also closes the connections to the Sentinels, which redis-py leaves open."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def _share_tls_context(url: RedisUrl, holders: Iterable[Any]) -> None:
    """Share one TLS context among all connections of these pools or nodes. Raises `ValueError` for unusable files.

    redis-py makes one for each connection and reads all of the system's authorities. That blocks the event loop for as
    long as a command may take.
    """
    if url.tls is None:
        return
    context = RedisSSLContext(
        keyfile=url.tls.key,
        certfile=url.tls.cert,
        cert_reqs="required",
        ca_certs=url.tls.ca,
        check_hostname=True,
        password="",  # an encrypted key is refused, where OpenSSL would ask at the terminal
    )
    try:
        context.get()
    except (ssl.SSLError, OSError, ValueError):
        raise ValueError("the Redis URL names a `ca`, `cert` or `key` that is no certificate or key") from None
    for holder in holders:
        holder.connection_class = _sharing(holder.connection_class, context)


def _sharing(kind: Any, context: RedisSSLContext) -> Any:
    class Sharing(kind):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context: RedisSSLContext = context

    return Sharing


def _credentials(login: Login) -> dict[str, Any]:
    return {"username": login.username, "password": login.password}


def _tls_options(url: RedisUrl) -> dict[str, Any]:
    return {"ssl_ca_certs": url.tls.ca} if url.tls else {}

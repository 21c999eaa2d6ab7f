"""Diagnosis of a Redis: do once what the service does, in keys of our own, and say what is missing."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from statistics import median
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.exceptions import TimeoutError as NoResponse

from app.redis import lua
from app.redis.commands import get_values, send_command
from app.redis.connections import AnyRedis, connect
from app.redis.explanations import explain, explain_missing
from app.redis.replacement import close_client
from app.redis.results import read_lease
from app.redis.rights import find_missing_rights
from app.redis.scripts import ScriptCall, make_script, run_batch
from app.redis.timeouts import catching
from app.redis.urls import Kind, RedisUrl, read_redis_url

_PATIENCE_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 20.0
_KEPT_MS: Final = 10_000
_LATEST: Final = 2**53
_SAMPLES: Final = 5
_MOST_TRIES: Final = 10_000


async def find_trouble(url: str, key_prefix: str, timeout_seconds: float) -> str | None:
    """Use a Redis as the service would, and return what is wrong with it, None if nothing is. Takes 20 s at most.

    All keys and the channel begin with `key_prefix`, and none stays. A command may take `timeout_seconds` in the service,
    and longer here. Raises `ValueError` if the URL is none.
    """
    read = read_redis_url(url)
    client = connect(url, max(timeout_seconds, _PATIENCE_SECONDS))
    try:
        found = await catching(_use(client, read, key_prefix, timeout_seconds))
        if isinstance(found, NoResponse | TimeoutError) and read.tls and await _speaks_plainly(read):
            return "It speaks no TLS: use redis://."
        return explain(found, read) if isinstance(found, Exception) else found
    finally:
        await close_client(client)


async def _use(client: AnyRedis, url: RedisUrl, key_prefix: str, timeout_seconds: float) -> str | None:
    async with asyncio.timeout(_LONGEST_SECONDS):
        if url.kind is Kind.SENTINEL and (trouble := await _ask_sentinels(client, url)):
            return trouble
        await client.initialize()
        channel, names = f"{key_prefix}:bus", list(_name_at_each_primary(client, key_prefix))
        if missing := await find_missing_rights(client, names, channel):
            return explain_missing(missing)
        await get_values(client, [f"{name}:{number}" for name in names for number in range(2)])
        seconds = [await _run_scripts(client, names, channel) for _ in range(_SAMPLES)]
        for name in names:
            await send_command(client, ["DEL", name])
        if not await _hears_itself(client, channel):
            return "What is published is not heard: does something on the way cut subscriptions?"
    if median(seconds) > timeout_seconds:
        return f"It takes {median(seconds) * 1000:.0f} ms, and TALLYGATE_REDIS_TIMEOUT_SECONDS allows less."
    return None


async def _ask_sentinels(client: Any, url: RedisUrl) -> str | None:
    """Ask each Sentinel for the primary, and say why none of them names it."""
    manager = client.connection_pool.sentinel_manager
    answers = await asyncio.gather(*(catching(server.sentinel_masters()) for server in manager.sentinels))
    known = [answer for answer in answers if not isinstance(answer, Exception)]
    if not known:
        cause = answers[0].__cause__
        return f"Sentinel: {explain(cause if isinstance(cause, Exception) else answers[0], url)}"
    if not any(url.primary in masters for masters in known):
        names = sorted({name for masters in known for name in masters})
        return f"The Sentinels know no primary of that name, but {', '.join(names) or 'none at all'}."
    if not any(manager.check_master_state(masters.get(url.primary, _DOWN), url.primary) for masters in known):
        return "The Sentinels say that the primary is down."
    return None


_DOWN: Final = {"is_master": False, "is_sdown": True, "is_odown": True, "num-other-sentinels": 0}


def _name_at_each_primary(client: AnyRedis, key_prefix: str) -> Iterator[str]:
    """Give names of keys: for one server two in different slots, for a Cluster one at each primary."""
    if not isinstance(client, RedisCluster):
        yield from (f"{key_prefix}:{{{number}}}" for number in range(2))
        return
    missing = {node.name for node in client.get_primaries()}
    for number in range(_MOST_TRIES):
        name = f"{key_prefix}:{{{number}}}"
        node = client.get_node_from_key(name)
        if node is not None and node.name in missing:
            missing.remove(node.name)
            yield name


async def _run_scripts(client: AnyRedis, names: list[str], channel: str) -> float:
    """Take a lease and a permit at each primary, as a read does. Returns the seconds that it took."""
    lease, store = make_script(lua.READ_OR_LEASE, read_lease), make_script(lua.STORE_AND_RELEASE, int)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for script, arguments in (
        (lease, ["check", _KEPT_MS, 0, -1, _LATEST]),
        (store, ["check", "{}", 0, _KEPT_MS, channel, _LATEST]),
    ):
        for result in await run_batch(
            client, [ScriptCall(script, [name, f"{name}:lease"], arguments) for name in names]
        ):
            if isinstance(result, Exception):
                raise result
            script.read(result)
        began = loop.time() if script is lease else began
    return loop.time() - began


async def _hears_itself(client: Any, channel: str) -> bool:
    """Say whether a message that is published arrives."""
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(channel)
        is_joined = False
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while True:
                    message = await pubsub.get_message(timeout=_PATIENCE_SECONDS)
                    match message:
                        case {"type": "subscribe"} if not is_joined:
                            is_joined = True
                            await client.publish(channel, "check")
                        case {"type": "message"}:
                            return True
    return False


async def _speaks_plainly(url: RedisUrl) -> bool:
    """Say whether a server answers a ping without TLS, to which nothing secret is sent."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(*url.hosts[0])
            try:
                writer.write(b"PING\r\n")
                return (await reader.read(1)) in {b"+", b"-"}
            finally:
                writer.close()
    return False

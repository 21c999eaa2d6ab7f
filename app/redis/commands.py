"""Commands that one server and a Cluster take differently, sent by the shortest way."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster

from app.redis.connections import AnyRedis, PlainRedis

Word = str | bytes | int | float


def is_one_server(client: AnyRedis) -> bool:
    """Say whether one server holds all keys, so that one command may name any of them."""
    return isinstance(client, Redis)


async def send_command(client: AnyRedis, words: Sequence[Word]) -> Any:
    """Send one command and return its response. Raises what redis-py raises.

    For one server it does what `execute_command` does, without retries, events and records. Those take most of its
    time, and are not used here. A cancelled command closes its connection.
    """
    if isinstance(client, PlainRedis) or not isinstance(client, Redis):
        return await client.execute_command(*words)
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        await connection.send_packed_command(_pack(words), check_health=False)
        return await connection.read_response()
    finally:
        await pool.release(connection)


async def get_values(client: AnyRedis, names: Sequence[str]) -> Any:
    """Get many values: one command for one server, one round trip to each node of a cluster."""
    if isinstance(client, Redis):
        return await send_command(client, ["MGET", *names])
    async with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.get(name)
        return await pipeline.execute()


async def count_subscribers(client: AnyRedis, channel: str) -> int:
    """Count the subscribers of a channel, at all nodes of a cluster. Raises `ValueError` if the answer is no count.

    redis-py (8.1) asks one node only: the one that would hold the channel's name as a key.
    """
    everywhere = {"target_nodes": client.get_nodes()} if isinstance(client, RedisCluster) else {}
    found = await client.execute_command("PUBSUB NUMSUB", channel, **everywhere)
    ((name, count),) = found
    if name != channel.encode() or type(count) is not int or count < 0:  # redis-py makes a pair of any two bytes
        raise ValueError("the answer counts no subscribers of the channel")
    return count


def _pack(words: Sequence[Word]) -> bytes:
    """Encode a command for the wire (RESP)."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        value = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)

"""Rights of a Redis user: each command of the service and its scripts, tried alone, with our keys and channel."""

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final

from redis.exceptions import NoPermissionError, NoScriptError

from app.redis.commands import Word, count_subscribers, send_command
from app.redis.connections import AnyRedis
from app.redis.explanations import missing_right
from app.redis.timeouts import catching

_KEPT_MS: Final = 10_000
_SCRIPT: Final = "return 1"


async def find_missing_rights(client: AnyRedis, names: Sequence[str], channel: str) -> list[str]:
    """Try all commands with keys of these names, and return what the user may not do, as `ACL SETUSER` has it.

    Raises what redis-py raises for another reason.
    """
    found = [
        await _find_missing(send_command(client, words), str(words[0]))
        for name in names
        for words in _commands(name, channel)
    ]
    found += [
        await _find_missing(_subscribe(client, channel), "SUBSCRIBE"),
        await _find_missing(count_subscribers(client, channel), "PUBSUB"),
    ]
    return list(dict.fromkeys(filter(None, found)))


def _commands(name: str, channel: str) -> Iterator[Sequence[Word]]:
    value, table, members, stream = name, f"{name}:hash", f"{name}:zset", f"{name}:stream"
    yield ("PING",)
    yield "SET", value, "check", "PX", _KEPT_MS
    yield "GET", value
    yield "MGET", value, value
    yield "PTTL", value
    yield "PEXPIRE", value, _KEPT_MS
    yield "HSET", table, "field", "check"
    yield "HMGET", table, "field"
    yield "HGET", table, "field"
    yield "HSETNX", table, "field", "check"
    yield "HINCRBY", table, "count", 1
    yield "HDEL", table, "count"
    yield "EXISTS", table
    yield "XADD", stream, "*", "field", "check"
    yield "XRANGE", stream, "-", "+", "COUNT", 1
    yield "XREVRANGE", stream, "+", "-", "COUNT", 1
    yield "XDEL", stream, "0-1"
    yield "ZADD", members, 1, "check"
    yield "ZCOUNT", members, "-inf", "+inf"
    yield "ZREMRANGEBYSCORE", members, "-inf", "+inf"
    yield "EVAL", _SCRIPT, 1, value
    yield "EVALSHA", "0" * 40, 1, value
    yield ("TIME",)
    yield "PUBLISH", channel, "check"
    yield from (("DEL", key) for key in (value, table, members, stream))


async def _find_missing(step: Awaitable[object], command: str) -> str | None:
    found = await catching(step)
    if not isinstance(found, Exception) or isinstance(found, NoScriptError):
        return None
    if not isinstance(found, NoPermissionError):
        raise found
    return missing_right(found) or f"+{command.lower()}"


async def _subscribe(client: Any, channel: str) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(channel)
        await pubsub.get_message(timeout=1)

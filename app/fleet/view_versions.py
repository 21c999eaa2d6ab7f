"""Versions of a view: kept for a while, so that all pages of it tell of one moment, at whichever replica they are read."""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from app.redis.client import RedisFailure
from app.redis.shared import Shared

KEPT_SECONDS: Final = 300
_CHUNK: Final = 500
_HEAD: Final = "head"


class Slice(Struct, frozen=True):
    """Some items of a version, and what `head` was kept with them."""

    head: Raw
    items: list[Raw]
    count: int


class _Head(Struct, frozen=True):
    head: Raw
    count: int


class _Kept(Struct, frozen=True):
    fields: dict[str, bytes]
    until: float

    @property
    def weight(self) -> int:
        return sum(map(len, self.fields.values()))


class ViewVersions:
    """Keep up to `capacity` versions of about `capacity_bytes` (compressed) together, for 300 s, here and in Redis.

    What has to go here goes in Redis too; the newest stays, however large. While Redis is away, a version is known only where it was made.
    """

    def __init__(self, shared: Shared, *, capacity: int, capacity_bytes: int, monotonic: Callable[[], float]) -> None:
        self._redis_client: Final = shared.client
        self._prefix: Final = shared.key_prefix
        self._capacity: Final = capacity
        self._capacity_bytes: Final = capacity_bytes
        self._monotonic: Final = monotonic
        self._kept: Final[OrderedDict[str, _Kept]] = OrderedDict()

    async def save(self, version: str, head: bytes, items: Sequence[bytes]) -> None:
        """Keep a version under its name. May be repeated: the same name means the same content."""
        fields = {}
        for number, start in enumerate(range(0, len(items), _CHUNK)):
            fields[str(number)] = zlib.compress(b"[" + b",".join(items[start : start + _CHUNK]) + b"]", 1)
            await asyncio.sleep(0)
        fields[_HEAD] = msgspec.json.encode(_Head(Raw(head), len(items)))
        self._kept[version] = _Kept(fields, self._monotonic() + KEPT_SECONDS)
        self._kept.move_to_end(version)
        await self._share(version, fields)
        await self._shrink()

    async def slice(self, version: str, start: int, limit: int) -> Slice | RedisFailure | None:
        """Give the items from `start` on, at most `limit`; None if the version is not kept any more."""
        first, last = start // _CHUNK, (start + limit - 1) // _CHUNK
        names = [_HEAD, *(str(number) for number in range(first, last + 1))]
        kept = self._kept.get(version)
        if kept is not None and self._monotonic() < kept.until:
            found: list[bytes | None] | RedisFailure = [kept.fields.get(name) for name in names]
        else:
            found = await self._redis_client.execute(
                lambda: self._redis_client.client.hmget(self._name(version), names)
            )
        if isinstance(found, RedisFailure):
            return found
        head, *chunks = found
        if head is None:
            return None
        kept_head = msgspec.json.decode(head, type=_Head)
        items = [item for chunk in chunks if chunk for item in _open(chunk)]
        return Slice(kept_head.head, items[start - first * _CHUNK :][:limit], kept_head.count)

    async def _share(self, version: str, fields: dict[str, bytes]) -> None:
        """Write a version to Redis, a chunk at a time and the head last: without its head it is not there."""
        name = self._name(version)
        for field, value in fields.items():

            async def write(field: str = field, value: bytes = value) -> None:
                await self._redis_client.client.hset(name, field, value)
                await self._redis_client.client.pexpire(name, KEPT_SECONDS * 1000)

            if isinstance(await self._redis_client.execute(write), RedisFailure):
                return

    async def _shrink(self) -> None:
        while len(self._kept) > 1 and (len(self._kept) > self._capacity or self._weight() > self._capacity_bytes):
            version, _ = self._kept.popitem(last=False)
            name = self._name(version)
            await self._redis_client.execute(lambda name=name: self._redis_client.client.delete(name))  # type: ignore[misc]

    def _weight(self) -> int:
        return sum(kept.weight for kept in self._kept.values())

    def _name(self, version: str) -> str:
        return f"{self._prefix}:{{version:{version}}}"


def _open(chunk: bytes) -> list[Raw]:
    return msgspec.json.decode(zlib.decompress(chunk), type=list[Raw])

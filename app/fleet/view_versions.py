"""Versions of paginated views, kept so that all pages show one moment, at whichever replica they are read."""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta, Raw, Struct

from app.decoding import Undecodable, decode_json, decompress
from app.redis.client import RedisFailure
from app.redis.results import read_integer, values_reader
from app.redis.shared import Shared
from app.telemetry.log_throttle import LogThrottle

KEPT_SECONDS: Final = 300
_CHUNK: Final = 500
_HEAD: Final = "head"
_MAX_CHUNK_BYTES: Final = 512 * 1024 * 1024

log = structlog.get_logger()


class Slice(Struct, frozen=True):
    """Some items of a version, its `head`, and the number of all its items."""

    head: Raw
    items: list[Raw]
    count: int


class _Head(Struct, frozen=True):
    head: Raw
    count: Annotated[int, Meta(ge=0, le=2**53)]


class _Version(Struct, frozen=True):
    fields: dict[str, bytes]
    until: float

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.fields.values()))


class ViewVersions:
    """Keep up to `capacity` versions of about `capacity_bytes` (compressed) together, for 300 s, here and in Redis.

    A version that is dropped here is dropped in Redis too; the newest stays, however large. While Redis is away, only
    the replica that made a version has it.
    """

    def __init__(self, shared: Shared, *, capacity: int, capacity_bytes: int, monotonic: Callable[[], float]) -> None:
        self._redis_client: Final = shared.client
        self._key_prefix: Final = shared.key_prefix
        self._capacity: Final = capacity
        self._capacity_bytes: Final = capacity_bytes
        self._monotonic: Final = monotonic
        self._unreadable: Final = LogThrottle()
        self._versions: Final[OrderedDict[str, _Version]] = OrderedDict()

    async def save(self, version: str, head: bytes, items: Sequence[bytes]) -> None:
        """Save a version under its name. May be repeated: the same name means the same content."""
        fields = {}
        for number, start in enumerate(range(0, len(items), _CHUNK)):
            fields[str(number)] = zlib.compress(b"[" + b",".join(items[start : start + _CHUNK]) + b"]", 1)
            await asyncio.sleep(0)
        fields[_HEAD] = msgspec.json.encode(_Head(Raw(head), len(items)))
        self._versions[version] = _Version(fields, self._monotonic() + KEPT_SECONDS)
        self._versions.move_to_end(version)
        await self._write(version, fields)
        await self._shrink()

    async def slice(self, version: str, start: int, limit: int) -> Slice | RedisFailure | None:
        """Return the items from `start` on, at most `limit`, or None if the version is no longer kept."""
        first, last = start // _CHUNK, (start + limit - 1) // _CHUNK
        names = [_HEAD, *(str(number) for number in range(first, last + 1))]
        ours = self._versions.get(version)
        if ours is not None and self._monotonic() < ours.until:
            found: list[bytes | None] | RedisFailure = [ours.fields.get(name) for name in names]
        else:
            found = await self._redis_client.execute(
                lambda: self._redis_client.client.hmget(self._name(version), names), values_reader(len(names))
            )
        if isinstance(found, RedisFailure):
            return found
        encoded_head, *chunks = found
        if encoded_head is None:
            return None
        try:
            return _read(encoded_head, chunks, start, limit)
        except Undecodable as error:
            self.report_unreadable(error)
            return None

    def report_unreadable(self, error: Undecodable) -> None:
        """Log that a version, or what its head and items contain, cannot be read."""
        if self._unreadable.admits():
            log.warning("view.unreadable", reason=str(error), unwritten=self._unreadable.unwritten)

    async def _write(self, version: str, fields: dict[str, bytes]) -> None:
        """Write a version to Redis chunk by chunk. The head comes last: without it, the version does not exist."""
        name = self._name(version)
        for field, value in fields.items():

            async def write(field: str = field, value: bytes = value) -> object:
                added = await self._redis_client.client.hset(name, field, value)
                await self._redis_client.client.pexpire(name, KEPT_SECONDS * 1000)
                return added

            if isinstance(await self._redis_client.execute(write, read_integer), RedisFailure):
                return

    async def _shrink(self) -> None:
        while len(self._versions) > 1 and (
            len(self._versions) > self._capacity or self._size_bytes() > self._capacity_bytes
        ):
            version, _ = self._versions.popitem(last=False)
            name = self._name(version)
            await self._redis_client.execute(partial(self._redis_client.client.delete, name), read_integer)

    def _size_bytes(self) -> int:
        return sum(version.size_bytes for version in self._versions.values())

    def _name(self, version: str) -> str:
        return f"{self._key_prefix}:{{version:{version}}}"


def _read(encoded_head: bytes, chunks: Sequence[bytes | None], start: int, limit: int) -> Slice:
    """Read a slice from the chunks around it. Raises `Undecodable` if it has other items than the head counts."""
    head = decode_json(encoded_head, _Head)
    items: list[Raw] = []
    for chunk in chunks:
        if chunk is not None:
            items += decode_json(decompress(chunk, _MAX_CHUNK_BYTES), list[Raw])
    items = items[start % _CHUNK :][:limit]
    if len(items) != min(limit, max(0, head.count - start)):
        raise Undecodable("items are missing")
    return Slice(head.head, items, head.count)

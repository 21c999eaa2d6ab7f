"""Sealed cursors: places in the feed or in a history, which say nothing to who holds one (AES-256-GCM).

The key is kept beside the feed and lost together with it. A cursor grants nothing: rights are judged at each use.
"""

import base64
import os
import re
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from app.decoding import decode_base64url
from app.redis.client import RedisFailure

CURSOR_PATTERN: Final = "^[0-9a-f]{8}\\.[0-9A-Za-z_-]{22,128}$"
_CURSOR: Final = re.compile(CURSOR_PATTERN)
_NONCE_BYTES: Final = 12
_NUMBER_BYTES: Final = 8
_FEED: Final = b"feed"


class FeedPosition(Struct, frozen=True, order=True):
    """A place in the feed of one epoch: everything up to it was read. Positions of one epoch have an order."""

    epoch: str
    place: tuple[int, int]


class CursorTrouble(Enum):
    """Why a cursor names no place: it is of another epoch, or it is none of ours."""

    GONE = auto()
    INVALID = auto()


class Cursors:
    """Seal and open cursors with the key of the present epoch, which `load` gives: its name and the key."""

    def __init__(self, load: Callable[[], Awaitable[tuple[str, bytes] | RedisFailure]]) -> None:
        self._load: Final = load
        self._epoch = ""
        self._key = b""
        self._name = ""
        self._cipher: AESGCM | None = None

    @property
    def epoch(self) -> str:
        """The epoch whose key seals and opens now: that of what was opened just now."""
        return self._epoch

    def use(self, epoch: str, key: bytes) -> None:
        """Use the key of an epoch from now on."""
        if (epoch, key) != (self._epoch, self._key):
            self._epoch, self._key, self._cipher = epoch, key, AESGCM(key)
            self._name = blake2b(epoch.encode(), key=key, digest_size=4).hexdigest()

    def seal(self, position: FeedPosition) -> str:
        """Return a cursor for a position that a `FeedReader` gave. All of them have one length.

        Raises `ValueError` if its epoch has ended since.
        """
        if position.epoch != self._epoch:
            raise ValueError("the epoch of the position has ended")
        return self.seal_bytes(_FEED, b"".join(part.to_bytes(_NUMBER_BYTES, "big") for part in position.place))

    async def open(self, text: str) -> FeedPosition | CursorTrouble | RedisFailure:
        """Return the position of a cursor, or why there is none. The epoch is read again if it seems to be another."""
        opened = await self.open_bytes(_FEED, text)
        if not isinstance(opened, bytes):
            return opened
        if len(opened) != 2 * _NUMBER_BYTES:
            return CursorTrouble.INVALID
        milliseconds, number = opened[:_NUMBER_BYTES], opened[_NUMBER_BYTES:]
        return FeedPosition(self._epoch, (int.from_bytes(milliseconds, "big"), int.from_bytes(number, "big")))

    def seal_bytes(self, purpose: bytes, content: bytes) -> str:
        """Seal bytes for a purpose. Raises `ValueError` before an epoch is known."""
        if self._cipher is None:
            raise ValueError("no epoch is known")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, content, purpose)
        return f"{self._name}.{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"

    async def open_bytes(self, purpose: bytes, text: str) -> bytes | CursorTrouble | RedisFailure:
        """Open what was sealed for a purpose, or say why that is impossible."""
        if not _CURSOR.fullmatch(text):
            return CursorTrouble.INVALID
        name, _, sealed = text.partition(".")
        if name != self._name or self._cipher is None:
            loaded = await self._load()
            if isinstance(loaded, RedisFailure):
                return loaded
            self.use(*loaded)
            if name != self._name:
                return CursorTrouble.GONE
        return self._decrypt(purpose, sealed)

    def _decrypt(self, purpose: bytes, text: str) -> bytes | CursorTrouble:
        try:
            sealed = decode_base64url(text)
            cipher = self._cipher
            return (
                CursorTrouble.INVALID
                if cipher is None
                else cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose)
            )
        except (InvalidTag, ValueError):
            return CursorTrouble.INVALID

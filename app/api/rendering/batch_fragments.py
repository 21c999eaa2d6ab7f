"""Strips: what a batch shows of a snapshot, written as JSON once and kept while the snapshot is the current one."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from app.accounts import Missing, Part, Told
from app.api.rendering.responses import tag_bytes
from app.api.views.accounts import format_time
from app.api.views.batch import BatchView
from app.api.views.parts import PartView
from app.balances.snapshots import Key, Snapshot

_STRIP_BYTES: Final = 400
"""What CPython takes for a strip besides its text, and for the snapshot if it is outdated."""


class Written(Struct, frozen=True):
    """A batch as it goes out, and the weak entity tag of what it says, whenever it was said."""

    etag: str
    body: bytes


class _Strip(Struct, frozen=True, gc=False):
    """A part's JSON on both sides of its status, and a mark of what it says but for its time."""

    snapshot: Snapshot
    before: bytes
    after: bytes
    mark: bytes

    @property
    def weight(self) -> int:
        return _STRIP_BYTES + len(self.before) + len(self.after)


class Strips:
    """Write batches byte for byte as `BatchView` would be, of strips that are kept: about `capacity_bytes`, then anew.

    They are shared by all callers: whoever asks for a batch has settled before that its caller may read it.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes: Final = capacity_bytes
        self._strips: Final[dict[Key, _Strip]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._strips)

    def write(self, parts: Sequence[Part]) -> Written:
        """Write parts with all of their rows. Costs what changed, and the joining."""
        head = msgspec.json.encode(BatchView.head(parts))
        texts: list[bytes] = []
        marks: list[bytes] = []
        for part in parts:
            if isinstance(part, Missing):
                text = msgspec.json.encode(PartView.of(part))
                texts.append(text)
                marks += (b"unavailable", _mark(text))
            else:
                strip = self._find(part)
                status = b"stale" if part.served.is_stale else b"fresh"
                texts.append(b"%b%b%b" % (strip.before, status, strip.after))
                marks += (status, strip.mark)
        body = b'%b,"merchants":[%b]}' % (head[:-1], b",".join(texts))
        return Written(tag_bytes(b"".join(marks)), body)

    def _find(self, part: Told) -> _Strip:
        strip = self._strips.get(part.snapshot.key)
        return strip if strip is not None and strip.snapshot is part.snapshot else self._put(_cut(part))

    def _put(self, strip: _Strip) -> _Strip:
        outdated = self._strips.pop(strip.snapshot.key, None)
        self.bytes += strip.weight - (outdated.weight if outdated else 0)
        if self.bytes > self._capacity_bytes:
            self._strips.clear()
            self.bytes = strip.weight
        self._strips[strip.snapshot.key] = strip
        return strip


def _cut(part: Told) -> _Strip:
    view = PartView.of(part)
    before, _, after = msgspec.json.encode(view).partition(view.status.encode())
    timeless = after.replace(format_time(part.snapshot.as_of).encode(), b"", 1)
    return _Strip(part.snapshot, before, after, _mark(before + timeless))


def _mark(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()

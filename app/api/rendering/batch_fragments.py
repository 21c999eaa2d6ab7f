"""Strips: what a batch shows of a snapshot, written as JSON once and kept while the snapshot is the current one."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from app.accounts import AccountResult, Available, Unavailable
from app.api.rendering.responses import etag_of_bytes
from app.api.views.accounts import format_time
from app.api.views.batch import BatchView
from app.api.views.parts import PartView
from app.balances.snapshots import AccountId, Snapshot

_FRAGMENT_BYTES: Final = 400
"""What CPython takes for a strip besides its text, and for the snapshot if it is outdated."""


class WrittenBatch(Struct, frozen=True):
    """A batch as it goes out, and the weak entity tag of what it says, whenever it was said."""

    etag: str
    body: bytes


class _Fragment(Struct, frozen=True, gc=False):
    """A part's JSON on both sides of its status, and a mark of what it says but for its time."""

    snapshot: Snapshot
    before: bytes
    after: bytes
    mark: bytes

    @property
    def size_bytes(self) -> int:
        return _FRAGMENT_BYTES + len(self.before) + len(self.after)


class BatchFragments:
    """Write batches byte for byte as `BatchView` would be, of strips that are kept: about `capacity_bytes`, then anew.

    They are shared by all callers: whoever asks for a batch has settled before that its caller may read it.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes: Final = capacity_bytes
        self._fragments: Final[dict[AccountId, _Fragment]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._fragments)

    def write(self, parts: Sequence[AccountResult]) -> WrittenBatch:
        """Write parts with all of their rows. Costs what changed, and the joining."""
        head = msgspec.json.encode(BatchView.head(parts))
        texts: list[bytes] = []
        marks: list[bytes] = []
        for part in parts:
            if isinstance(part, Unavailable):
                text = msgspec.json.encode(PartView.of(part))
                texts.append(text)
                marks += (b"unavailable", _mark(text))
            else:
                fragment = self._find(part)
                status = b"stale" if part.served.is_stale else b"fresh"
                texts.append(b"%b%b%b" % (fragment.before, status, fragment.after))
                marks += (status, fragment.mark)
        body = b'%b,"merchants":[%b]}' % (head[:-1], b",".join(texts))
        return WrittenBatch(etag_of_bytes(b"".join(marks)), body)

    def _find(self, part: Available) -> _Fragment:
        fragment = self._fragments.get(part.snapshot.account_id)
        return fragment if fragment is not None and fragment.snapshot is part.snapshot else self._put(_split(part))

    def _put(self, fragment: _Fragment) -> _Fragment:
        outdated = self._fragments.pop(fragment.snapshot.account_id, None)
        self.bytes += fragment.size_bytes - (outdated.size_bytes if outdated else 0)
        if self.bytes > self._capacity_bytes:
            self._fragments.clear()
            self.bytes = fragment.size_bytes
        self._fragments[fragment.snapshot.account_id] = fragment
        return fragment


def _split(part: Available) -> _Fragment:
    view = PartView.of(part)
    before, _, after = msgspec.json.encode(view).partition(view.status.encode())
    timeless = after.replace(format_time(part.snapshot.as_of).encode(), b"", 1)
    return _Fragment(part.snapshot, before, after, _mark(before + timeless))


def _mark(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()

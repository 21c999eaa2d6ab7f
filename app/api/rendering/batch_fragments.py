"""Fragment cache: the part of a batch that shows one snapshot, encoded as JSON once while the snapshot is current."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from app.accounts import AccountResult, Available, Unavailable
from app.api.rendering.conditional import etag_of_bytes
from app.api.views.accounts import format_time
from app.api.views.batch import BatchView
from app.api.views.parts import PartView
from app.balances.snapshots import AccountId, Snapshot

_FRAGMENT_BYTES: Final = 400
"""What CPython takes for a fragment besides its text, and for an outdated snapshot."""


class WrittenBatch(Struct, frozen=True):
    """The body of a batch and its weak entity tag, which leaves out when the balances were true."""

    etag: str
    body: bytes


class _Fragment(Struct, frozen=True, gc=False):
    """A part's JSON before and after its status, and a digest of it without its time."""

    snapshot: Snapshot
    before: bytes
    after: bytes
    digest: bytes

    @property
    def size_bytes(self) -> int:
        return _FRAGMENT_BYTES + len(self.before) + len(self.after)


class BatchFragments:
    """Encode batches byte for byte as `BatchView`, from cached fragments. A cache above `capacity_bytes` is cleared.

    All callers share it, so authorisation comes before each look-up.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes: Final = capacity_bytes
        self._fragments: Final[dict[AccountId, _Fragment]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._fragments)

    def write(self, parts: Sequence[AccountResult]) -> WrittenBatch:
        """Encode parts with all of their rows. Only changed parts are encoded again."""
        head = msgspec.json.encode(BatchView.head(parts))
        texts: list[bytes] = []
        digests: list[bytes] = []
        for part in parts:
            if isinstance(part, Unavailable):
                text = msgspec.json.encode(PartView.of(part))
                texts.append(text)
                digests += (b"unavailable", _digest(text))
            else:
                fragment = self._find(part)
                status = b"stale" if part.served.is_stale else b"fresh"
                texts.append(b"%b%b%b" % (fragment.before, status, fragment.after))
                digests += (status, fragment.digest)
        body = b'%b,"merchants":[%b]}' % (head[:-1], b",".join(texts))
        return WrittenBatch(etag_of_bytes(b"".join(digests)), body)

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
    return _Fragment(part.snapshot, before, after, _digest(before + timeless))


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()

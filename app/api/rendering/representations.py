"""Representations: rendered views of snapshots. Each is rendered once for its snapshot, and again for the next one."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from app.api.rendering.encodings import Coding, encode, read_wanted
from app.balances.snapshots import Snapshot

_MIN_COMPRESSED_BYTES: Final = 512
_REPRESENTATION_BYTES: Final = 3_000
"""What CPython takes for a representation besides its bodies, with an outdated snapshot."""

Name = tuple[str, str]
"""A path and its canonical query. Only JSON is cached: no other format is requested that often."""

Renderer = Callable[[Snapshot], "Representation"]
"""Renders a snapshot. The result must not depend on the caller."""


class Representation:
    """One view of one snapshot: its bytes in every coding requested so far, and its weak entity tag.

    `vary` names the request headers that select another answer, besides `Accept-Encoding`. The tag is that of the
    content, so it is the same in every coding: a weak one may be (RFC 9110, 8.8.1).
    """

    __slots__ = ("_coded", "etag", "media_type", "snapshot", "vary")

    def __init__(self, snapshot: Snapshot, media_type: str, vary: str, etag: str, body: bytes) -> None:
        self.snapshot: Final = snapshot
        self.media_type: Final = media_type
        self.vary: Final = vary
        self.etag: Final = etag
        self._coded: Final = {Coding.IDENTITY: body}

    @property
    def size_bytes(self) -> int:
        """About how many bytes it takes. All other codings of the body together take as much again."""
        return _REPRESENTATION_BYTES + 2 * len(self._coded[Coding.IDENTITY])

    def select_coding(self, accept_encoding: str | None) -> tuple[Coding, bytes]:
        """Return the body in the caller's preferred coding among those that save a tenth or more.

        A caller that accepts none of our codings, nor identity, gets identity (RFC 9110, 12.5.3).
        """
        wanted = read_wanted(accept_encoding)
        body = self._coded[Coding.IDENTITY]
        must = Coding.IDENTITY not in wanted
        for coding in wanted:
            if coding is Coding.IDENTITY:
                break
            if must or (len(body) >= _MIN_COMPRESSED_BYTES and len(self._code(coding)) * 10 <= len(body) * 9):
                return coding, self._code(coding)
        return Coding.IDENTITY, body

    def _code(self, coding: Coding) -> bytes:
        if coding not in self._coded:
            self._coded[coding] = encode(self._coded[Coding.IDENTITY], coding)
        return self._coded[coding]


class RepresentationCache:
    """LRU cache of up to `capacity` representations of about `capacity_bytes` together.

    All callers share it, so authorisation comes before each look-up.
    """

    def __init__(self, capacity: int, capacity_bytes: int) -> None:
        self._capacity: Final = capacity
        self._capacity_bytes: Final = capacity_bytes
        self._representations: Final[OrderedDict[Name, Representation]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._representations)

    def get(self, name: Name, snapshot: Snapshot, render: Renderer) -> Representation:
        """Return the representation of a name and this very snapshot, rendered if it is missing. Raises as `render` does."""
        known = self._representations.get(name)
        if known is None or known.snapshot is not snapshot:
            return self._put(name, render(snapshot))
        self._representations.move_to_end(name)
        return known

    def _put(self, name: Name, representation: Representation) -> Representation:
        outdated = self._representations.pop(name, None)
        self.bytes += representation.size_bytes - (outdated.size_bytes if outdated else 0)
        self._representations[name] = representation
        while len(self._representations) > 1 and (
            len(self._representations) > self._capacity or self.bytes > self._capacity_bytes
        ):
            self.bytes -= self._representations.popitem(last=False)[1].size_bytes
        return representation

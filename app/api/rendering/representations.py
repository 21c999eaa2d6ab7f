"""Rendered sheets: a view of a snapshot is made into bytes once, and made anew when there is another snapshot."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from app.api.rendering.encodings import Coding, encode, read_wanted
from app.balances.snapshots import Snapshot

_WORTH_A_TRY_BYTES: Final = 512
_REPRESENTATION_BYTES: Final = 3_000
"""What CPython takes for a sheet besides its bodies, with the snapshot if it is outdated."""

Name = tuple[str, str]
"""A path and its canonical query. Only JSON is kept: nothing else is asked for so often."""

Renderer = Callable[[Snapshot], "Representation"]
"""Makes the sheet of a name from a snapshot. It may be kept, and says nothing of who asked."""


class Representation:
    """One view of one snapshot: its bytes in every coding that was asked for, and its weak entity tag.

    `vary` names the request headers, besides `Accept-Encoding`, that another answer may be given to.

    The tag is that of the content, so it is the same in every coding: a weak one may be (RFC 9110, 8.8.1).
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
        """About how many bytes it takes; in other codings the body takes as much again, all together."""
        return _REPRESENTATION_BYTES + 2 * len(self._coded[Coding.IDENTITY])

    def select_coding(self, accept_encoding: str | None) -> tuple[Coding, bytes]:
        """Give the body in the coding that the caller likes best of those that make it smaller by a tenth or more.

        Where the caller takes none of ours and not the body as it is either, it gets it as it is (RFC 9110, 12.5.3).
        """
        wanted = read_wanted(accept_encoding)
        body = self._coded[Coding.IDENTITY]
        must = Coding.IDENTITY not in wanted
        for coding in wanted:
            if coding is Coding.IDENTITY:
                break
            if must or (len(body) >= _WORTH_A_TRY_BYTES and len(self._code(coding)) * 10 <= len(body) * 9):
                return coding, self._code(coding)
        return Coding.IDENTITY, body

    def _code(self, coding: Coding) -> bytes:
        if coding not in self._coded:
            self._coded[coding] = encode(self._coded[Coding.IDENTITY], coding)
        return self._coded[coding]


class RepresentationCache:
    """Keep up to `capacity` sheets of about `capacity_bytes` together, least recently used out first.

    Pages are shared by all callers: whoever takes one has settled before that its caller may read it.
    """

    def __init__(self, capacity: int, capacity_bytes: int) -> None:
        self._capacity: Final = capacity
        self._capacity_bytes: Final = capacity_bytes
        self._representations: Final[OrderedDict[Name, tuple[Representation, Renderer]]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._representations)

    def recipe(self, name: Name) -> Renderer | None:
        """Give how the sheet of a name is rendered, if one is here."""
        known = self._representations.get(name)
        return None if known is None else known[1]

    def find(self, name: Name, snapshot: Snapshot) -> Representation | None:
        """Give the sheet of a name if one is here: rendered anew if it is not of this very snapshot. Raises what that raises."""
        known = self._representations.get(name)
        if known is None:
            return None
        representation, render = known
        if representation.snapshot is not snapshot:
            return self._put(name, render(snapshot), render)
        self._representations.move_to_end(name)
        return representation

    def render(self, name: Name, snapshot: Snapshot, render: Renderer) -> Representation:
        """Give the sheet of a name and a snapshot, rendered now if it is not here."""
        return self.find(name, snapshot) or self._put(name, render(snapshot), render)

    def _put(self, name: Name, representation: Representation, render: Renderer) -> Representation:
        outdated = self._representations.pop(name, None)
        self.bytes += representation.size_bytes - (outdated[0].size_bytes if outdated else 0)
        self._representations[name] = representation, render
        while len(self._representations) > 1 and (
            len(self._representations) > self._capacity or self.bytes > self._capacity_bytes
        ):
            self.bytes -= self._representations.popitem(last=False)[1][0].size_bytes
        return representation

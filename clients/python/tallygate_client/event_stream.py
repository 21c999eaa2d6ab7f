"""Server-sent events (HTML Living Standard, 9.2.6): bytes in, events out."""

from typing import Final

from msgspec import Struct


class ServerEvent(Struct, frozen=True):
    """An event: its name, its data, and the last id of the stream."""

    name: str
    data: str
    id: str | None


class EventParser:
    """Parse a stream as it comes, in pieces of any size."""

    def __init__(self) -> None:
        self._rest: bytes = b""
        self._name = ""
        self._data: Final[list[str]] = []
        self._id: str | None = None

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take a piece and return the events that it completes. Lines end with LF or CRLF, as the gateway's do."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found = (self._take(line.removesuffix(b"\r").decode("utf-8", "replace")) for line in lines)
        return [event for event in found if event is not None]

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name or "message", "\n".join(self._data)
        self._name = ""
        self._data.clear()
        return ServerEvent(name, data, self._id) if data else None

"""A connection of redis-py whose transport a protocol of ours takes over, without a network."""

from types import SimpleNamespace
from typing import Any


class Transport:
    """What a protocol does with a connection. `former` is the one that it takes over from."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False
        self.former = SimpleNamespace(connection_lost=self.lose)
        self.lost: list[object] = []

    def lose(self, error: object) -> None:
        self.lost.append(error)

    def get_protocol(self) -> object:
        return self.former

    def set_protocol(self, _: object) -> None:
        """Nothing reads here."""

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


def make_connection(transport: Transport) -> Any:
    """Make what holds a transport as a connection of redis-py does."""
    return SimpleNamespace(_writer=SimpleNamespace(transport=transport))

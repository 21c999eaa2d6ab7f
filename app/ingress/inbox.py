"""Inbox of a connection: requests that have arrived and wait for their answer, in their order."""

from collections import deque
from typing import Final

from app.ingress.exchange import Exchange, Wire
from app.ingress.requests import RequestHead


class Inbox:
    """Take requests from a reader, and make an exchange of each. The body of the last one may still come.

    `heads` counts the requests that have begun, for whoever sets it to 0. `is_full` says that enough of a body waits.
    """

    def __init__(self, wire: Wire) -> None:
        self.waiting: Final = deque[Exchange]()
        self.heads = 0
        self.is_full = False
        self._wire: Final = wire
        self._receiving: Exchange | None = None

    def begin_request(self, head: RequestHead) -> None:
        """Take the head of a request."""
        self.heads += 1
        self._receiving = Exchange(self._wire, head)
        self.waiting.append(self._receiving)

    def take_body(self, data: bytes) -> None:
        """Take a part of its body."""
        if self._receiving is not None:
            self.is_full |= self._receiving.feed(data)

    def end_request(self) -> None:
        """Take its end. Nothing of it is left to be read, however much of it waits."""
        if self._receiving is not None:
            self._receiving.end_request()
            self._receiving, self.is_full = None, False

    def lose_request(self) -> None:
        """Give up the request that has not become whole, if there is one. If it is under way, it hears of that."""
        lost, self._receiving = self._receiving, None
        if lost is not None and lost in self.waiting:
            self.waiting.remove(lost)
        elif lost is not None:
            lost.disconnect()

    def clear(self) -> None:
        """Give up all that waits, and what still comes."""
        self._receiving = None
        self.waiting.clear()

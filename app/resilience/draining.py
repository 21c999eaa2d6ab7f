"""Draining: before the service ends, it still answers but reports that it is not ready."""

from collections.abc import Callable


class Drain:
    """A switch that is off until `begin`."""

    def __init__(self) -> None:
        self.is_on = False
        self._on_begin: list[Callable[[], None]] = []

    def watch(self, on_begin: Callable[[], None]) -> None:
        """Call `on_begin`, too, when draining begins."""
        self._on_begin.append(on_begin)

    def begin(self) -> None:
        """Start draining. May be repeated."""
        self.is_on = True
        for on_begin in self._on_begin:
            on_begin()

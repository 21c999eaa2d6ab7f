"""Draining: before the service ends, it still answers but reports that it is not ready."""

from collections.abc import Callable


class Drain:
    """A switch that is off until `begin`."""

    def __init__(self) -> None:
        self.is_on = False
        self._on_begin: Callable[[], None] | None = None

    def watch(self, on_begin: Callable[[], None]) -> None:
        """Call `on_begin` when draining begins."""
        self._on_begin = on_begin

    def begin(self) -> None:
        """Start draining. May be repeated."""
        self.is_on = True
        if self._on_begin is not None:
            self._on_begin()

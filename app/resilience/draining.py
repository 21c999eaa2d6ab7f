"""Whether the service is about to end: it goes on answering, but tells everybody to go elsewhere."""

from collections.abc import Callable


class Drain:
    """Be off until `begin`, and on from then."""

    def __init__(self) -> None:
        self.is_on = False
        self._on_begin: Callable[[], None] | None = None

    def watch(self, on_begin: Callable[[], None]) -> None:
        """Call `tell` as soon as it begins."""
        self._on_begin = on_begin

    def begin(self) -> None:
        """Say from now on that this replica should be asked no more. May be repeated."""
        self.is_on = True
        if self._on_begin is not None:
            self._on_begin()

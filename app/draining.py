"""Whether the service is about to end: it goes on answering, but tells everybody to go elsewhere."""


class Drain:
    """Be off until `begin`, and on from then."""

    def __init__(self) -> None:
        self.is_on = False

    def begin(self) -> None:
        """Say from now on that this replica should be asked no more. May be repeated."""
        self.is_on = True

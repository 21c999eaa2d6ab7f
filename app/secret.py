"""The type that secrets live in."""

import hmac
from typing import NoReturn, final


@final
class Secret:
    """A secret that is shown as `***` everywhere but in `reveal`.

    It cannot be pickled, and msgspec refuses to encode it. `reveal` is called only where the secret is sent to the one
    peer that it is meant for.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def matches(self, other: "Secret") -> bool:
        """Return whether the other is equal, in constant time."""
        return hmac.compare_digest(self._text.encode(), other.reveal().encode())

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

"""The type that secrets live in."""

import hmac
from typing import NoReturn, final


@final
class Secret:
    """Hold a secret that shows itself as `***` everywhere but in `reveal`.

    It is neither printed, formatted nor pickled, and msgspec refuses to encode it. `reveal` is called in one place:
    where the secret leaves for the one peer that it is meant for.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the secret itself."""
        return self._text

    def matches(self, other: "Secret") -> bool:
        """Tell whether the other is the same, in a time that tells nothing about either."""
        return hmac.compare_digest(self._text.encode(), other.reveal().encode())

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

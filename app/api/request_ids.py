"""Request ids: the caller's own where it can be logged, else one that no other request has."""

import itertools
import re
from collections.abc import Callable
from typing import Final

REQUEST_ID: Final = b"x-request-id"

_ACCEPTABLE: Final = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")


class RequestIds:
    """Name requests. Ours are 32 hexadecimal digits: 16 of this process, drawn by `randbits`, and a count.

    They are unique, not secret: drawing each of them anew would cost more than looking up an answer.
    """

    def __init__(self, randbits: Callable[[int], int]) -> None:
        self._process: Final = b"%016x" % randbits(64)
        self._numbers: Final = itertools.count()

    def name(self, given: bytes | None) -> bytes:
        """Take over the caller's id if it is one that can be logged, else make one."""
        if given is not None and _ACCEPTABLE.fullmatch(given):
            return given
        return b"%s%016x" % (self._process, next(self._numbers))

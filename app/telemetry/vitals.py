"""How a worker is, as it says itself: shared with its reading, for whoever has to tell without asking it."""

from msgspec import Struct


class Vitals(Struct, frozen=True):
    """What a worker says of itself: `at` is monotonic time in seconds, which all processes of a machine share.

    `readiness` is what it answers at `/health/ready`.
    """

    at: float
    is_ready: bool
    readiness: bytes

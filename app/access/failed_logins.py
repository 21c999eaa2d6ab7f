"""Rate limit of failed authentications by address, so that guessing is slow and cheap for us."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from app.errors import TooFast
from app.resilience.rate_limiter import RateLimiter

MAX_ADDRESSES: Final = 10_000

_IPV6_NETWORK_BITS: Final = 64
_BURST_SECONDS: Final = 10


class FailedLogins:
    """Allow each address `per_second` failures a second, after a burst of ten seconds' worth.

    Only the last `MAX_ADDRESSES` that failed are remembered. `monotonic` returns seconds.
    """

    def __init__(self, per_second: float, monotonic: Callable[[], float]) -> None:
        self._per_second: Final = per_second
        self._monotonic: Final = monotonic
        self._rates: Final[OrderedDict[str, RateLimiter]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise `TooFast` if an address has failed too often."""
        rate = self._rates.get(_network(address))
        if rate is not None and (wait := rate.wait_seconds(self._monotonic())) > 0:
            raise TooFast("Too many wrong credentials came from your address.", retry_after_seconds=wait)

    def count(self, address: str) -> None:
        """Record a failure of an address."""
        network = _network(address)
        rate = self._rates.get(network)
        if rate is None:
            rate = self._rates[network] = RateLimiter(self._per_second, self._per_second * _BURST_SECONDS)
        rate.acquire(self._monotonic())
        self._rates.move_to_end(network)
        if len(self._rates) > MAX_ADDRESSES:
            self._rates.popitem(last=False)


def _network(address: str) -> str:
    """Return the network that counts as one address: a host has any number of addresses in an IPv6 network."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(int(parsed) >> _IPV6_NETWORK_BITS)

"""Leases, by which one replica acts for all: how long one lasts, how often it is renewed, and which are ours."""

from typing import Final

from app.balances.snapshots import AccountId

LEASE_MS: Final = 3000
"""A lease that is not renewed expires after so many milliseconds, and another replica takes over."""

RENEW_SECONDS: Final = 0.5
"""How often its holder renews it."""


class HeldLease:
    """Note the lease of an account as ours while the context lasts."""

    __slots__ = ("_account_id", "_leases")

    def __init__(self, leases: set[AccountId], account_id: AccountId) -> None:
        self._leases: Final = leases
        self._account_id: Final = account_id

    def __enter__(self) -> None:
        self._leases.add(self._account_id)

    def __exit__(self, *_: object) -> None:
        self._leases.discard(self._account_id)

"""Timing of leases, by which one replica acts for all: how long one lasts, and how often it is renewed."""

from typing import Final

LEASE_MS: Final = 3000
"""A lease that is not renewed expires after so many milliseconds, and another replica takes over."""

RENEW_SECONDS: Final = 0.5
"""How often its holder renews it."""

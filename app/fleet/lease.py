"""The lease by which one replica of all does a thing: how long it lasts, and how often its holder renews it."""

from typing import Final

LEASE_MS: Final = 3000
"""A lease that nobody renews ends after so many milliseconds, and another replica takes over."""

RENEW_SECONDS: Final = 0.5
"""How often its holder renews it."""

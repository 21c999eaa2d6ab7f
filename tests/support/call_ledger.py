"""A ledger of all calls that replicas make, and an upstream that obeys, errs, or is slow as the weather is."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Collection

import msgspec

from app.balances.snapshots import Absence, AccountId, Entry, Row, Snapshot
from app.errors import TallygateError
from tests.support.replica import POLICY, Upstream
from tests.support.virtual_time import monotonic, unix_ms

QUICK_SECONDS = 0.9
WINDOW_SECONDS = 0.95 * POLICY.fresh_ms / 1000
"""At most the last twentieth of the lifetime is given away to early refreshes."""
INSTANT_SECONDS = 0.01


class Call(msgspec.Struct, eq=False):
    """A call of the upstream: what came of it, or that the replica died over it."""

    key: AccountId
    replica: str
    began: float
    began_at: int
    is_well: bool
    ended: float | None = None
    entry: Entry | None = None
    lost: bool = False


class Weather(msgspec.Struct):
    """How the upstream is, and how often that has changed."""

    seconds: float = 0.1
    error: TallygateError | None = None
    absent: bool = False
    changes: int = 0

    @property
    def is_well(self) -> bool:
        return self.error is None and self.seconds <= QUICK_SECONDS


class Ledger:
    """Every call in order, what was wrong with any, and since when Redis has been undisturbed.

    Since then no two calls for a key are made at a time, and for the `lenient` keys, of which nobody asks anything that
    is younger than fresh, only one in a window.
    """

    def __init__(self, lenient: Collection[AccountId]) -> None:
        self._lenient = lenient
        self.weather = Weather()
        self.calls: defaultdict[AccountId, list[Call]] = defaultdict(list)
        self.wrongs: list[str] = []
        self.disturbed_at = -math.inf

    def begin(self, key: AccountId, replica: str) -> Call:
        call = Call(key, replica, monotonic(), unix_ms(), self.weather.is_well)
        for earlier in self.calls[key]:
            if not earlier.lost and earlier.began > self.disturbed_at + INSTANT_SECONDS:
                self._compare(earlier, call)
        self.calls[key].append(call)
        return call

    def _compare(self, earlier: Call, call: Call) -> None:
        if earlier.ended is None:
            self.wrongs.append(f"two calls at a time: {earlier}, {call}")
        elif (
            earlier.entry is not None
            and call.key in self._lenient
            and call.began < earlier.ended + WINDOW_SECONDS - 0.002
        ):
            self.wrongs.append(f"two calls in one window: {earlier}, {call}")

    def gave(self, entry: Entry, since: int = 0) -> bool:
        """Tell whether the upstream gave this very entry when it was asked at `since` or later."""
        return any(call.entry == entry and call.began_at >= since for call in self.calls[entry.account_id])

    def may_fail(self, key: AccountId) -> bool:
        """Tell whether a call that is under way, or has ended at this moment, is or was not well."""
        return not self.weather.is_well or any(
            not call.is_well and (call.ended is None or call.ended > monotonic() - INSTANT_SECONDS)
            for call in self.calls[key]
            if not call.lost
        )


class Door(Upstream):
    """The upstream as one replica sees it: each amount is given only once."""

    def __init__(self, ledger: Ledger, replica: str) -> None:
        super().__init__()
        self._ledger = ledger
        self._replica = replica

    async def load(self, key: AccountId) -> Entry:
        call = self._ledger.begin(key, self._replica)
        weather = msgspec.structs.replace(self._ledger.weather)
        amount = str(sum(map(len, self._ledger.calls.values())))
        try:
            await asyncio.sleep(weather.seconds)
        except asyncio.CancelledError:
            call.lost = True
            raise
        call.ended = monotonic()
        if weather.error is not None:
            raise weather.error
        if weather.absent:
            call.entry = Absence(key, unix_ms())
        else:
            row = Row("USDT", "USDT", "USDT", amount, amount, "0")  # type: ignore[arg-type]
            call.entry = Snapshot(key, unix_ms(), can_deposit=True, balances=(row,))
        return call.entry

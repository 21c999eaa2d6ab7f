"""Replicas over an upstream whose balances change when a test says so."""

from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeServer
from msgspec.structs import replace

from app.balances.amounts import Amount
from app.balances.snapshots import AccountId, Entry, Snapshot
from app.cache.served import Served
from app.history.recording import HistoryOptions
from tests.support.replica import Replica, Upstream, run_replicas


class Bank(Upstream):
    """An upstream whose balances change when a test says so, not with each call."""

    def __init__(self) -> None:
        super().__init__()
        self.amount = "1"

    async def load(self, key: AccountId) -> Entry:
        entry = await super().load(key)
        assert isinstance(entry, Snapshot)
        amount = Amount(self.amount)
        return replace(entry, balances=tuple(replace(row, total=amount, free=amount) for row in entry.balances))


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
async def replicas(bank: Bank, server: FakeServer) -> AsyncIterator[list[Replica]]:
    options = HistoryOptions(keep_ms=10**9, max_bytes=10**6)
    async with run_replicas(bank, server, 2, history=options) as running:
        yield running


def amount(served: Served) -> str:
    assert isinstance(served.entry, Snapshot)
    return served.entry.balances[0].total

"""Three replicas over one Redis, and anything may happen to them in any order: the promises hold at every moment."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

import msgspec
from fakeredis import FakeAsyncRedis, FakeServer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from structlog.testing import capture_logs

from app.balances.snapshots import Absence, AccountId, Entry
from app.cache.freshness import RequestDirectives
from app.cache.served import Served
from app.errors import (
    DeadlinePassed,
    NotCached,
    TallygateError,
    TokenRefused,
    Unreachable,
    UpstreamError,
    UpstreamRefusal,
)
from tests.support.call_ledger import INSTANT_SECONDS, Door, Ledger, Weather
from tests.support.replica import POLICY, Replica, directives
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import VirtualLoop, monotonic, unix_ms

LENIENT = (AccountId("1"), AccountId("2"))
"""Keys of which nobody asks anything that is younger than fresh: one call in a window is promised for them."""
STRICT = (AccountId("3"),)
LENIENT_WISHES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"max_age_ms": 5_000},
    {"max_age_ms": 12_000},
    {"max_stale_ms": 0},
    {"max_stale_ms": 20_000},
    {"max_stale_ms": 300_000},
    {"only_if_cached": True},
)
STRICT_WISHES: tuple[dict[str, Any], ...] = (
    {},
    {"no_cache": True},
    {"max_age_ms": 0},
    {"max_age_ms": 1_000},
    {"min_fresh_ms": 3_000},
    {"max_age_ms": 2_000, "only_if_cached": True},
)
PATIENCE_SECONDS = 6


class Member:
    """A replica with its tasks, each of which can be ended, and its readers."""

    def __init__(self, ledger: Ledger, server: FakeServer, name: str) -> None:
        self.name = name
        self.replica = Replica(Door(ledger, name), server, name)
        self.newest: defaultdict[AccountId, int] = defaultdict(int)
        self.readers: set[asyncio.Task[None]] = set()
        background_tasks = (
            self.replica.redis_client.probe_while_lost,
            self.replica.budget.dispatch,
            self.replica.replica_count.keep_counting,
            self.replica.tier.renew_leases,
        )
        self.tasks = [asyncio.create_task(task()) for task in background_tasks]
        self.listening = asyncio.create_task(self.replica.bus.listen())

    def join(self) -> None:
        if self.listening.done():
            self.listening = asyncio.create_task(self.replica.bus.listen())

    async def cut(self) -> None:
        await _end(self.listening)

    async def stop(self) -> None:
        await _end(*self.tasks, self.listening, *self.readers)
        await self.replica.cache.close()
        await self.replica.redis_client.close()


class Fleet(RuleBasedStateMachine):
    """What may happen to three replicas."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.runner = self.stack.enter_context(asyncio.Runner(loop_factory=VirtualLoop))
        self.stack.enter_context(virtual_redis_time())
        self.logs = self.stack.enter_context(capture_logs())
        self.ledger = Ledger(LENIENT)
        self.server = FakeServer()
        self.born = self.deaths = 0
        self.is_broken = False
        self.stored: dict[AccountId, Entry] = {}
        self.members: list[Member] = self.runner.run(self._found())

    # What may happen

    @rule(
        number=st.integers(0, 2),
        account_id=st.sampled_from(LENIENT + STRICT),
        preferences=st.integers(0, 23),
        count=st.integers(1, 3),
    )
    def read(self, number: int, account_id: AccountId, preferences: int, count: int) -> None:
        wishes = LENIENT_WISHES if account_id in LENIENT else LENIENT_WISHES + STRICT_WISHES
        self._step(self._read(self.members[number], account_id, wishes[preferences % len(wishes)], count))

    @rule(account_id=st.sampled_from(LENIENT + STRICT))
    def read_everywhere(self, account_id: AccountId) -> None:
        self._step(self._read_everywhere(account_id))

    @rule(seconds=st.sampled_from((0.003, 0.047, 0.31, 1.07, 2.3, 4.81, 6.1, 12.7, 37.3)))
    def let_time_pass(self, seconds: float) -> None:
        self._step(asyncio.sleep(seconds))

    @rule(
        weather=st.sampled_from(
            (
                *(Weather(seconds) for seconds in (0.1, 0.9, 2.5, 8)),
                *(Weather(absent=True), Weather(1.3, Unreachable("x"))),
                *(Weather(error=error) for error in (Unreachable("x"), TokenRefused("x"))),
            )
        )
    )
    def change_the_weather(self, weather: Weather) -> None:
        changes = self.ledger.weather.changes + 1
        self.ledger.weather = msgspec.structs.replace(weather, changes=changes)

    @precondition(lambda self: not self.ledger.weather.is_well)
    @rule()
    def let_the_upstream_be_well(self) -> None:
        self.change_the_weather(Weather())

    @precondition(lambda self: self.server.connected)
    @rule()
    def lose_redis(self) -> None:
        self.server.connected = False

    @precondition(lambda self: not self.server.connected)
    @rule(seconds=st.sampled_from((0.0, 3.0)))
    def find_redis(self, seconds: float) -> None:
        self.server.connected = True
        self._step(asyncio.sleep(seconds))

    @precondition(lambda self: self.server.connected)
    @rule()
    def flush_redis(self) -> None:
        self._step(self._flush())

    @rule(number=st.integers(0, 2))
    def cut_the_bus(self, number: int) -> None:
        self._step(self.members[number].cut())

    @rule(number=st.integers(0, 2))
    def join_the_bus(self, number: int) -> None:
        self._step(self._join(self.members[number]))

    @rule(number=st.integers(0, 2))
    def kill(self, number: int) -> None:
        self._step(self._replace(number))

    @precondition(lambda self: any(self.ledger.calls.values()))
    @rule(number=st.integers(0, 2), data=st.data())
    def let_a_straggler_arrive(self, number: int, data: st.DataObject) -> None:
        given = [call.entry for calls in self.ledger.calls.values() for call in calls if call.entry and not call.lost]
        if given:
            self._step(self.members[number].replica.tier.store_and_release(data.draw(st.sampled_from(given))))

    def teardown(self) -> None:
        try:
            if not self.is_broken:
                self.server.connected = True
                self._step(asyncio.sleep(PATIENCE_SECONDS + 3))
                self.runner.run(self._end())
        finally:
            self.stack.close()

    # How it happens

    async def _found(self) -> list[Member]:
        self.raw = FakeAsyncRedis(server=self.server)
        return [self._bear() for _ in range(3)]

    def _bear(self) -> Member:
        self.born += 1
        return Member(self.ledger, self.server, f"r{self.born}")

    async def _read(self, member: Member, account_id: AccountId, preferences: dict[str, Any], count: int) -> None:
        for _ in range(count):
            task = asyncio.create_task(self._read_once(member, account_id, directives(**preferences)))
            member.readers.add(task)
        await asyncio.sleep(0)

    async def _read_everywhere(self, account_id: AccountId) -> None:
        for member in self.members:
            await self._read(member, account_id, {}, 1)

    async def _read_once(self, member: Member, account_id: AccountId, wanted: RequestDirectives) -> None:
        came, floor = monotonic(), member.newest[account_id]
        outlook = (self.ledger.weather.changes, self.deaths)
        may_fail = self.ledger.may_fail(account_id)
        try:
            served = await member.replica.cache.read(account_id, wanted)
        except TallygateError as error:
            held = member.replica.memory.peek(account_id)
            excused = may_fail or outlook != (self.ledger.weather.changes, self.deaths)
            wrong = _judge_failure(error, held, wanted, excused=excused, waited=monotonic() - came)
        else:
            wrong = self._judge_answer(served, account_id, wanted, floor)
            member.newest[account_id] = max(member.newest[account_id], served.entry.as_of)
        waited = monotonic() - came
        if waited > PATIENCE_SECONDS + INSTANT_SECONDS or (wanted.only_if_cached and waited > INSTANT_SECONDS):
            wrong = f"waited {waited}"
        if wrong:
            self.ledger.wrongs.append(f"{member.name} {account_id} {wanted}: {wrong}")

    def _judge_answer(self, served: Served, account_id: AccountId, wanted: RequestDirectives, floor: int) -> str:
        entry = served.entry
        if entry.account_id != account_id or not self.ledger.gave(entry):
            return f"never given: {served}"
        if entry.as_of < floor:
            return f"older than what was answered before: {served}, {floor}"
        if served.covered_error is not None:
            return "" if _may_cover(entry, wanted, served.covered_error) else f"covers what it must not: {served}"
        if wanted.no_cache:
            return "" if self.ledger.gave(entry, since=wanted.received_at) else f"no answer to a call since: {served}"
        if entry.as_of < wanted.received_at and unix_ms() - entry.as_of > _oldest_ms(entry, wanted):
            return f"too old: {served}"
        return ""

    async def _flush(self) -> None:
        await self.raw.flushall()
        self.stored.clear()
        self.ledger.disturbed_at = monotonic()

    async def _join(self, member: Member) -> None:
        member.join()
        await asyncio.sleep(0)

    async def _replace(self, number: int) -> None:
        member = self.members[number]
        await member.stop()
        self.deaths += 1
        for call in (call for calls in self.ledger.calls.values() for call in calls if call.replica == member.name):
            call.lost |= call.ended is None or call.ended > monotonic() - INSTANT_SECONDS
        self.members[number] = self._bear()

    async def _end(self) -> None:
        assert not [reader for member in self.members for reader in member.readers if not reader.done()]
        for member in self.members:
            await member.stop()
        await self.raw.aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() - {asyncio.current_task()} == set()

    # What holds at every moment

    def _step(self, happening: Coroutine[Any, Any, object]) -> None:
        self.is_broken = True
        self.runner.run(self._observe(happening))
        assert not self.ledger.wrongs, "\n".join(self.ledger.wrongs)
        assert not [line for line in self.logs if line["log_level"] in {"error", "critical"}]
        self.is_broken = False

    async def _observe(self, happening: Coroutine[Any, Any, object]) -> None:
        is_calm = self._is_calm()
        if not is_calm:
            self.ledger.disturbed_at = math.inf
        await happening
        if not is_calm or not self._is_calm():
            self.ledger.disturbed_at = monotonic()
        if self.server.connected:
            await self._look_into_redis()
        for member in self.members:
            for task in member.tasks:
                assert not task.done(), task
            for reader in [reader for reader in member.readers if reader.done()]:
                member.readers.remove(reader)
                reader.result()

    def _is_calm(self) -> bool:
        return self.server.connected and all(member.replica.redis_client.available for member in self.members)

    async def _look_into_redis(self) -> None:
        for account_id in LENIENT + STRICT:
            value = await self.raw.get(f"t:{{{account_id}}}")
            before = self.stored.pop(account_id, None)
            if value is None:
                continue
            entry: Entry = msgspec.json.decode(value, type=Entry)
            assert self.ledger.gave(entry), entry
            if before is not None and unix_ms() < before.as_of + _kept_ms(before):
                assert entry.as_of >= before.as_of, (before, entry)
            self.stored[account_id] = entry


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they heed it: until Python 3.12, `asyncio.wait_for`, which redis-py uses, may not."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.001)


def _judge_failure(
    error: TallygateError, held: Entry | None, wanted: RequestDirectives, *, excused: bool, waited: float
) -> str:
    match error:
        case NotCached():
            return "" if wanted.only_if_cached else "asked for a fetch and got none"
        case DeadlinePassed() if waited < PATIENCE_SECONDS - INSTANT_SECONDS:
            return "lost patience too early"
        case UpstreamError() | DeadlinePassed():
            if held is not None and _may_cover(held, wanted, error):
                return f"{error!r} although there is {held}"
            return "" if excused else f"{error!r} although all was well"
        case _:
            return f"failed with {error!r}"


def _oldest_ms(entry: Entry, wanted: RequestDirectives) -> int:
    if isinstance(entry, Absence):
        return _narrow_ms(POLICY.absent_ms, POLICY.absent_ms, wanted)
    stale = POLICY.stale_while_revalidate_ms if wanted.max_stale_ms is None else wanted.max_stale_ms
    return _narrow_ms(POLICY.fresh_ms + stale, POLICY.fresh_ms, wanted)


def _may_cover(entry: Entry, wanted: RequestDirectives, error: TallygateError) -> bool:
    if isinstance(entry, Absence) or wanted.no_cache or isinstance(error, UpstreamRefusal):
        return False
    limit = POLICY.stale_if_error_ms
    if wanted.max_stale_ms is not None:
        limit = min(limit, POLICY.fresh_ms + wanted.max_stale_ms)
    return unix_ms() - entry.as_of <= _narrow_ms(limit, POLICY.fresh_ms, wanted)


def _narrow_ms(limit: int, lifetime: int, wanted: RequestDirectives) -> int:
    limit = limit if wanted.max_age_ms is None else min(limit, wanted.max_age_ms)
    return limit if wanted.min_fresh_ms is None else min(limit, lifetime - wanted.min_fresh_ms)


def _kept_ms(entry: Entry) -> int:
    return POLICY.absent_ms if isinstance(entry, Absence) else POLICY.stale_if_error_ms


Fleet.TestCase.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
TestWhateverHappensToTheFleet = Fleet.TestCase

"""A random walk of looks with a known truth: replicas whose clocks err record it, and each claim about it is examined.

The scripts are the real ones on a real Valkey. Time is virtual: looks and their questions carry it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from app.balances.normalisation import normalise
from app.balances.snapshots import Absence, AccountId, Entry, Snapshot
from app.cache.freshness import CLOCKS_DIFFER_MS, FreshnessPolicy
from app.cache.redis_tier import RedisTier
from app.errors import HistoryGone, NoHistory
from app.history.feed import FeedReader
from app.history.past import Past, PastState, Window
from app.history.recording import HistoryOptions, Look, Recorder
from app.history.states import Content
from app.redis.client import RedisClient
from app.redis.connections import connect
from app.redis.shared import Shared
from app.resilience.circuit_breaker import CircuitBreaker
from app.runtime import Runtime
from sandbox import Account, World
from sandbox.scenarios import Scenario, build

REPLICAS: Final = 3
LONGEST_LOOK_MS: Final = 400
_BEGAN_MS: Final = 1_000_000_000_000
_ASKED_BACK_MS: Final = 300_000
_SHOWN: Final = 50_000
_POLICY: Final = FreshnessPolicy(
    fresh_ms=5_000, stale_while_revalidate_ms=30_000, stale_if_error_ms=600_000, absent_ms=10_000
)


class WalkOptions(Struct, frozen=True, kw_only=True):
    """How a walk goes. Clocks of replicas err by at most `clocks_err_ms`, and step within that now and then."""

    redis_url: str
    scenario: Scenario = "restless"
    seed: int = 1
    merchants: int = 100
    clocks_err_ms: int = 450
    history_bytes: int = 16 * 1024 * 1024

    @property
    def key_prefix(self) -> str:
        """What all keys of this walk begin with."""
        return f"walk:{self.scenario}:{self.seed}"


class Outcome(Struct):
    """What a walk has done: how many looks, and which claims were examined. `wrong` are claims of what was not so."""

    looks: int = 0
    claims: Counter[str] = {}  # type: ignore[assignment]
    wrong: list[str] = []


class _Replica:
    def __init__(self, client: RedisClient, number: int, options: WalkOptions, runtime: Runtime) -> None:
        shared = Shared(client, options.key_prefix, f"replica{number}")
        history = HistoryOptions(keep_ms=604_800_000, max_bytes=options.history_bytes)
        recorder = Recorder(shared, history, runtime.metrics)
        self.tier = RedisTier(shared, policy=_POLICY, metrics=runtime.metrics, recorder=recorder)
        self.past = Past(shared, FeedReader(shared))
        self.known: dict[int, Entry] = {}
        self.error_ms = 0


_Stored = tuple[_Replica, int, Entry, Look]


class Walk:
    """Let a world move and replicas look at it. Each method may be called again and again."""

    def __init__(self, options: WalkOptions) -> None:
        self.outcome: Final = Outcome(claims=Counter())
        self._options: Final = options
        self._random: Final = Random(options.seed)
        self._now: int = _BEGAN_MS
        runtime = Runtime()
        breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2)
        self._client: Final = RedisClient(
            lambda: connect(options.redis_url, 30), breaker=breaker, timeout_seconds=30, runtime=runtime
        )
        self._world: Final[World] = build(options.scenario, options.merchants, self._random, self._seconds)
        self._merchants: Final = tuple(self._world.merchant_ids)
        self._replicas: Final = [_Replica(self._client, number, options, runtime) for number in range(REPLICAS)]
        self._shown: Final[dict[int, tuple[Account, Snapshot]]] = {}
        self._late: Final[list[_Stored]] = []

    async def close(self) -> None:
        """Wait for Redis, and close the connections."""
        for replica in self._replicas:
            await replica.tier.close()
            await replica.past.close()
        await self._client.close()

    async def look_around(self) -> None:
        """Have most merchants looked at once while the world moves. A few looks are stored late, or twice."""
        random = self._random
        self._step_clocks()
        looking = [(merchant, random.choice(self._replicas)) for merchant in self._merchants if random.random() < 0.8]
        asked = [(merchant, one, self._tell(one), one.known.get(merchant)) for merchant, one in looking]
        self._move()
        found = [self._world.account(merchant) for merchant, _ in looking]
        self._move()
        self._step_clocks()
        late, self._late[:] = self._late[:], []
        due: list[_Stored] = []
        for (merchant, replica, asked_at, known), account in zip(asked, found, strict=True):
            entry = self._make_entry(merchant, account, self._tell(replica), known)
            (self._late if random.random() < 0.1 else due).append((replica, merchant, entry, Look(asked_at, known)))
        random.shuffle(due)
        await self._store_all(due + random.sample(due, len(due) // 50))
        await self._evict()
        await self._store_all(late)
        self._now += random.choice((10, 500, 2_000))
        self._move()

    async def ask(self, merchants: int, moments: int) -> None:
        """Ask what some merchants had at some moments of the last minutes, and examine each claim."""
        for merchant in self._random.sample(self._merchants, merchants):
            past = self._random.choice(self._replicas).past
            longest = min(_ASKED_BACK_MS, self._now - _BEGAN_MS)
            asked = [self._now - self._random.randrange(longest) for _ in range(moments)]
            for moment in asked:
                try:
                    found = await past.at(AccountId(str(merchant)), moment)
                except (HistoryGone, NoHistory) as error:
                    self.outcome.claims[type(error).__name__] += 1
                    continue
                self._examine(merchant, moment, found)

    async def compare_changes(self, merchants: int) -> None:
        """Read the changes of some merchants in the last minutes: numbered without gaps, and each of them was one."""
        err = self._options.clocks_err_ms
        for merchant in self._random.sample(self._merchants, merchants):
            past = self._random.choice(self._replicas).past
            window = Window(since=max(_BEGAN_MS, self._now - _ASKED_BACK_MS))
            page = await past.changes(AccountId(str(merchant)), window, None, 10_000)
            for change in page.changes:
                before, after, looks = change.before, change.after, change.after.before
                if before is None or looks is None:
                    continue
                held = list(self._held(merchant, looks.until - err, after.since + err))
                is_right = before.content != after.content and {before.content, after.content} <= set(held)
                if before.sequence + 1 != after.sequence or not is_right:
                    self.outcome.wrong.append(f"{merchant}: no such change ({change})")
                self.outcome.claims["changes"] += 1

    def _examine(self, merchant: int, moment: int, found: PastState) -> None:
        """Compare a claim with the truth. It may err as clocks do, and a look is true at some moment of it."""
        err, said = self._options.clocks_err_ms, found.state.content
        since, until = found.state.since, found.looks.until
        wrong = []
        if said not in self._held(merchant, since - LONGEST_LOOK_MS - 2 * err, since + err):
            wrong.append("the first look did not find it")
        if said not in self._held(merchant, until - err, until + LONGEST_LOOK_MS + 2 * err):
            wrong.append("the last look did not find it")
        if found.is_seen:
            gap = found.looks.gap_ms + LONGEST_LOOK_MS + 2 * err
            if said not in self._held(merchant, moment - gap, moment + err):
                wrong.append("it was not so before")
            if said not in self._held(merchant, moment - err, moment + gap):
                wrong.append("it was not so after")
            if self._held_once(found, merchant) and said not in self._held(merchant, moment - err, moment + err):
                wrong.append("it was not so then")
        elif found.changed_by is not None and set(self._held(merchant, until - err, found.changed_by + err)) == {said}:
            wrong.append("nothing else was found")
        self.outcome.claims["seen" if found.is_seen else "between"] += 1
        self.outcome.wrong += [f"{merchant} at {moment}: {what} ({found})" for what in wrong]

    def _held(self, merchant: int, since: int, until: int) -> Iterator[Content | None]:
        return (self._content_of(account) for account in self._world.truth.during(merchant, since, until))

    def _held_once(self, found: PastState, merchant: int) -> bool:
        """Check that an account never had a content again after another one, as long as looks found it."""
        err = LONGEST_LOOK_MS + 2 * self._options.clocks_err_ms
        held = list(self._held(merchant, found.state.since - err, found.looks.until + err))
        places = [place for place, content in enumerate(held) if content == found.state.content]
        return bool(places) and places[-1] - places[0] == len(places) - 1

    def _content_of(self, account: Account | None) -> Content | None:
        if account is None:
            return None
        shown = self._normalise(0, account)
        return Content(shown.can_deposit, shown.balances, shown.anomalies)

    def _make_entry(self, merchant: int, account: Account | None, arrival: int, known: Entry | None) -> Entry:
        """Make what a replica would: its answer counts as newer than what was known at the call."""
        as_of = arrival if known is None else max(arrival, known.as_of + 1)
        if account is None:
            return Absence(AccountId(str(merchant)), as_of)
        return replace(self._normalise(merchant, account), as_of=as_of, sequence=UNSET, epoch=UNSET)

    def _normalise(self, merchant: int, account: Account) -> Snapshot:
        kept = self._shown.get(id(account))
        if kept is None or kept[0] is not account:
            if len(self._shown) > _SHOWN:
                self._shown.clear()
            data = {"canDeposit": account.can_deposit, "balances": account.balances}
            kept = account, normalise(AccountId(str(merchant)), data, 0)
            self._shown[id(account)] = kept
        return replace(kept[1], account_id=AccountId(str(merchant)))

    async def _evict(self) -> None:
        """Remove some entries, as they expire: they do not refuse an older look any more."""
        gone = self._random.sample(self._merchants, len(self._merchants) // 3)
        await self._client.client.delete(*(f"{self._options.key_prefix}:{{{merchant}}}" for merchant in gone))

    async def _store_all(self, looks: Sequence[_Stored]) -> None:
        await asyncio.gather(*(self._store(*look) for look in looks))

    async def _store(self, replica: _Replica, merchant: int, entry: Entry, look: Look) -> None:
        latest = self._tell(replica) + CLOCKS_DIFFER_MS
        mine = replace(entry, sequence=UNSET, epoch=UNSET)  # stored twice, it is recorded twice
        await replica.tier.store_and_release(mine, latest_as_of=latest, look=look)
        self.outcome.looks += 1
        for one in self._replicas:  # each hears of it by the bus, but not always
            if one is replica or self._random.random() < 0.9:
                held = one.known.get(merchant)
                if held is None or held.as_of < mine.as_of:
                    one.known[merchant] = mine

    def _move(self) -> None:
        """Let time pass, and some merchants move meanwhile."""
        began, moves = self._now, self._random.randrange(1, len(self._merchants) // 4)
        for moment in sorted(self._random.randrange(LONGEST_LOOK_MS // 2) for _ in range(moves)):
            self._now = began + moment
            self._world.move()

    def _step_clocks(self) -> None:
        for replica in self._replicas:
            if self._random.random() < 0.02:
                replica.error_ms = self._random.randint(-self._options.clocks_err_ms, self._options.clocks_err_ms)

    def _tell(self, replica: _Replica) -> int:
        return self._now + replica.error_ms

    def _seconds(self) -> float:
        return (self._now + 0.5) / 1000  # in the middle of its millisecond, so that no rounding moves it

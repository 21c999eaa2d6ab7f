"""The fast front and the slow way behind it give the same answers: status, headers, bytes, and what is counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from random import Random
from typing import Any

import msgspec
import pytest
from fakeredis import FakeServer

from app.access.callers import Caller, Callers, hash_key
from app.api.middleware.edge import Edge
from app.balances.snapshots import AccountId, Snapshot
from app.cache.cache import Cache
from app.errors import Unauthenticated
from app.resilience.draining import Drain
from app.telemetry.metrics import Metrics
from tests.support.apps import face_over
from tests.support.raw_asgi import ask_app
from tests.support.replica import Upstream, run_replicas
from tests.support.virtual_time import monotonic, unix_ms

Request = tuple[str, str, list[tuple[bytes, bytes]]]

CALLERS = (
    Caller("all", hash_key("all"), "all", portfolio=True),
    Caller("some", hash_key("some"), frozenset({AccountId("1")})),
    Caller("slow", hash_key("slow"), "all", portfolio=True, rate=3),
)
TARGETS = (
    [f"/v1/merchants/{merchant}/balances" for merchant in (1, 2, 3, "01", "x", "%31", "1%2f")]
    + [f"/v1/merchants/1/balances{tail}" for tail in ("/USDT", "/BTC", "/US%44T", "/", "?", "?nonzero=true", "?x=1")]
    + [f"/v1/merchants/1/balances?{query}" for query in ("nonzero=false", "assets=USDT", "assets=BTC,USDT")]
    + [f"/v1/merchants/1/balances?assets={wish}" for wish in ("USDT,BTC", "USDT%2CBTC", "", "USDT&nonzero=true")]
    + ["/v1/portfolio", "/v1/portfolio?nonzero=true", "/v1/portfolio/", "//v1/portfolio", "/v1/portfolios", "/"]
    + [f"/v2/assets/account/assets?merchantId={key}" for key in ("0", "1", "2", "01", "%31", "1&merchantId=1", "")]
    + [f"/v1/merchants/1/balances?{query}" for query in ("format=csv", "format=json", "nonzero=true&format=text")]
    + ["/v1/merchants/1/balances/USDT?format=text", "/v1/portfolio?format=csv", "/v1/portfolio?format=xml"]
    + ["/v2/assets/account/assets", "/health/live", "/v1/merchants/1/balances?assets=" + "A" * 9000]
)
HOT = [*TARGETS[:2], "/v1/merchants/1/balances/USDT", "/v1/portfolio", "/v2/assets/account/assets?merchantId=1"]
KEYS: list[list[tuple[bytes, bytes]]] = [
    [(b"authorization", b"Bearer all")],
    [(b"authorization", b"bearer  all ")],
    [(b"x-bh-token", b"all")],
    [(b"x-bh-token", b"all"), (b"authorization", b"Bearer all")],
    [(b"x-bh-token", b"all"), (b"authorization", b"Bearer some")],
    [(b"authorization", b"Bearer some")],
    [(b"authorization", b"Bearer all"), (b"authorization", b"Bearer all")],
    [(b"authorization", b"Basic all")],
    [(b"authorization", b"Bearer \xe4")],
    [],
]
SLOW = (b"authorization", b"Bearer slow")
WISHES: list[tuple[bytes, bytes]] = [
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-encoding", b"gzip;q=0.5, identity;q=0"),
    (b"accept-encoding", b""),
    (b"cache-control", b"max-age=60"),
    (b"cache-control", b"only-if-cached, max-age=0"),
    (b"cache-control", b"max-stale"),
    (b"cache-control", b"max-age=x"),
    (b"if-none-match", b"*"),
    (b"if-none-match", b'"x"'),
    (b"if-none-match", b"{etag}"),
    (b"if-none-match", b'"y", {etag}'),
    (b"x-request-id", b"mine"),
    (b"x-request-id", b"not mine\xff"),
    (b"accept", b"text/csv"),
    (b"accept", b"*/*"),
    (b"accept", b"text/plain;q=0.2, application/json;q=0.1"),
    (b"accept", b"image/png"),
    (b"accept", b"\xff"),
    (b"content-length", b"0"),
    (b"content-length", b"3"),
    (b"x-filling", b"f" * 5_000),
    (b"x-filling", b"f" * 20_000),
    (b"user-agent", b"\xff"),
]


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    async with run_replicas(Upstream(), FakeServer(), 1) as (replica,):
        yield replica.cache


class _HalfASecond:
    """Whoever judges tokens takes one, for half a second from now."""

    def __init__(self) -> None:
        self._until = monotonic() + 0.5

    def find_known(self, digest: bytes) -> Caller | None:
        is_good = digest.hex() == hash_key("eyJ") and monotonic() < self._until
        return Caller("guest", "", "all") if is_good else None

    async def verify(self, text: str, digest: bytes) -> Caller:
        raise Unauthenticated("This token has expired.")


class Ways:
    """One face with its front and without it, and what each of the two counted. Pages of `origins` may read it."""

    def __init__(self, cache: Cache, origins: Collection[str] = ()) -> None:
        self.metrics = Metrics(), Metrics()
        self.drain = Drain()
        self.callers = Callers(CALLERS, workers=1, monotonic=monotonic, judge=_HalfASecond())
        self.fast = face_over(
            cache, self.callers, monotonic, metrics=self.metrics[0], drain=self.drain, origins=origins
        )
        app, request_ids = self.fast._app, self.fast._request_ids
        self.slow = Edge(app, self.metrics[1], self.drain, request_ids, cors=self.fast._cors)
        self.warm_up = Edge(app, Metrics(), self.drain, request_ids)

    @property
    def hot(self) -> int:
        """How many answers the front has given."""
        return int(sum(cell[0] for series in self.metrics[0]._hot.values() for row in series._cells for cell in row))

    async def ask(self, request: Request) -> list[tuple[int, list[tuple[bytes, bytes]], bytes]]:
        """Send a request down both ways."""
        target, method, headers = request
        found = []
        await ask_app(self.warm_up, target, headers=KEYS[0])  # else the first of the two would fetch for the other
        for app in (self.slow, self.fast):
            response = await ask_app(app, target, method, headers)
            found.append((response.status_code, response.headers.raw, response.content))
        return found


def _make_request(random: Random, etags: list[bytes]) -> Request:
    method = random.choice(["GET"] * 6 + ["HEAD"] * 2 + ["POST", "OPTIONS"])
    headers = list(KEYS[0] if random.random() < 0.6 else random.choice(KEYS))
    headers += random.sample(WISHES, random.choice([0, 1, 1, 2, 3]))
    if (
        all(name != b"x-request-id" for name, _ in headers) and random.random() < 0.5
    ):  # else the same request is known again
        headers.append((b"x-request-id", b"given"))
    headers = [(name, value.replace(b"{etag}", random.choice(etags))) for name, value in headers]
    random.shuffle(headers)
    return random.choice(HOT if random.random() < 0.6 else TARGETS), method, headers


def _comparable(answer: tuple[int, list[tuple[bytes, bytes]], bytes]) -> tuple[Any, ...]:
    """Leave out what differs between any two runs: the order of Allow, and an id that was made for want of a good one."""
    status, headers, body = answer
    made = next(value for name, value in headers if name == b"x-request-id")
    if made not in {b"given", b"mine"}:
        headers, body = [(name, value) for name, value in headers if value != made], body.replace(made, b"")
    return status, [(name, sorted(value.split(b", ")) if name == b"allow" else value) for name, value in headers], body


async def test_a_thousand_requests_get_the_same_down_both_ways(cache: Cache) -> None:
    random, ways = Random(6), Ways(cache)
    etags = [(await ask_app(ways.warm_up, target, headers=KEYS[0])).headers["etag"].encode() for target in HOT]
    seen: Counter[int] = Counter()
    for number in range(1_000):
        request = _make_request(random, etags)
        for _ in range(2):  # the second time, the front remembers the first one
            slow, fast = await ways.ask(request)
            assert _comparable(fast) == _comparable(slow), request
            seen[fast[0]] += 1
        if number % 10 == 0:
            await asyncio.sleep(random.random() * 1.3)
    assert {200, 204, 304, 400, 401, 403, 404, 405, 414, 431, 504} <= set(seen), seen
    assert ways.hot > 400
    counted = []
    for metrics in ways.metrics:
        list(metrics.families())
        counted.append(dict(metrics.requests.counts))
    assert counted[0] == counted[1]


async def test_the_front_asks_for_rights_before_it_looks(cache: Cache) -> None:
    ways = Ways(cache)
    await ask_app(ways.fast, HOT[1], headers=KEYS[0])
    answers = [await ask_app(ways.fast, f"/v1/merchants/{key}/balances", headers=KEYS[5]) for key in (2, 99)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert not ways.hot


CHANGES: dict[str, tuple[Caller, ...]] = {
    "its key is withdrawn": CALLERS[::2],
    "its key is another's": (*CALLERS[::2], Caller("new", hash_key("some"), frozenset({AccountId("2")}))),
    "it may read others only": (*CALLERS[::2], Caller("some", hash_key("some"), frozenset({AccountId("2")}))),
}


@pytest.mark.parametrize("callers", CHANGES.values(), ids=CHANGES)
async def test_what_was_remembered_for_a_caller_is_forgotten_when(callers: tuple[Caller, ...], cache: Cache) -> None:
    ways = Ways(cache)
    request = (HOT[0], "GET", [*KEYS[5], (b"x-request-id", b"given")])
    for _ in range(2):
        assert (await ways.ask(request))[1][0] == 200
    assert ways.hot == 2
    ways.callers.replace_all(callers)
    slow, fast = await ways.ask(request)
    assert fast == slow
    assert fast[0] in {401, 403}
    assert ways.hot == 2


async def test_a_token_that_ends_within_the_second_is_good_no_longer(cache: Cache) -> None:
    ways = Ways(cache)
    request = (HOT[0], "GET", [(b"authorization", b"Bearer eyJ"), (b"x-request-id", b"given")])
    statuses = []
    for _ in range(4):
        slow, fast = await ways.ask(request)
        assert fast == slow
        statuses.append(fast[0])
        await asyncio.sleep(0.15)
    assert statuses == [200, 200, 200, 401]
    assert ways.hot == 3


async def test_a_caller_that_gets_a_rate_is_held_to_it_at_once(cache: Cache) -> None:
    ways = Ways(cache)
    await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    before = [await ask_app(ways.fast, HOT[0], headers=KEYS[0]) for _ in range(9)]
    ways.callers.replace_all([msgspec.structs.replace(CALLERS[0], rate=3), *CALLERS[1:]])
    after = [await ask_app(ways.fast, HOT[0], headers=KEYS[0]) for _ in range(4)]
    assert {answer.status_code for answer in before} == {200}
    assert [answer.status_code for answer in after] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in after] == ["r=2", "r=1", "r=0", "r=0"]
    assert ways.hot == 12


async def test_age_and_ttl_move_on_with_each_second(cache: Cache) -> None:
    ways = Ways(cache)
    request = (HOT[0], "GET", [*KEYS[0], (b"x-request-id", b"given")])
    ages = []
    for _ in range(60):
        slow, fast = await ways.ask(request)
        assert fast == slow
        ages.append(int(dict(fast[1])[b"age"]))
        await asyncio.sleep(0.13)
    assert {0, 1, 2, 3, 4, 5} == set(ages)
    list(ways.metrics[0].families())
    assert sum(ages) < ways.metrics[0].answer_age.series[()][-1] < sum(ages) + 60


async def test_an_outdated_page_is_not_sent(cache: Cache) -> None:
    ways = Ways(cache)
    first = await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    hot = await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    await ask_app(ways.fast, HOT[0], headers=[*KEYS[0], (b"cache-control", b"no-cache")])
    # another view of the same merchant, whose page is of the snapshot before
    newer = await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    assert hot.content == first.content
    assert newer.json()["balances"][0]["total"] == "2"


async def test_a_page_is_made_anew_from_what_came_since_and_an_asset_that_is_gone_is_not_found(cache: Cache) -> None:
    ways = Ways(cache)
    targets = HOT[0], "/v1/merchants/1/balances/USDT"
    for target in targets:
        await ask_app(ways.fast, target, headers=KEYS[0])
    newer = Snapshot(AccountId("1"), unix_ms() + 1, can_deposit=False, balances=())
    cache._memory.put(newer)
    await asyncio.sleep(0.1)
    account, row = [await ask_app(ways.fast, target, headers=KEYS[0]) for target in targets]
    assert (account.json()["canDeposit"], account.json()["balances"], ways.hot) == (False, [], 1)
    assert (row.status_code, row.json()["type"]) == (404, "/problems/unknown-asset")


async def test_what_a_clock_ahead_of_ours_wrote_is_as_new_as_can_be_and_counted_so(cache: Cache) -> None:
    ways = Ways(cache)
    await ask_app(ways.warm_up, HOT[0], headers=KEYS[0])
    cache._memory.put(Snapshot(AccountId("1"), unix_ms() + 4_000, can_deposit=False, balances=()))
    ages = [(await ask_app(ways.fast, HOT[0], headers=KEYS[0])).headers["age"] for _ in range(3)]
    list(ways.metrics[0].families())
    assert (ages, ways.metrics[0].answer_age.series[()][-1]) == (["0"] * 3, 0)


async def test_a_hot_read_is_refreshed_behind_like_any_other(cache: Cache) -> None:
    ways = Ways(cache)
    totals = []
    for _ in range(4):
        response = await ask_app(ways.fast, HOT[0], headers=KEYS[0])
        totals.append((response.json()["balances"][0]["total"], response.headers["age"]))
        await asyncio.sleep(6)
    assert totals == [("1", "0"), ("1", "6"), ("2", "5"), ("3", "5")]


async def test_a_remembered_answer_that_is_sent_again_is_refreshed_a_little_early_too(cache: Cache) -> None:
    ways = Ways(cache)
    told = []
    for seconds in (0, 4.5, 0.494, 0.2):  # with the luck of this cache a newer one is fetched 8 ms before it is due
        await asyncio.sleep(seconds)
        response = await ask_app(ways.fast, HOT[0], headers=KEYS[0])
        told.append((response.json()["balances"][0]["total"], response.headers["age"]))
    assert told == [("1", "0"), ("1", "4"), ("1", "4"), ("2", "0")]
    assert ways.hot == 3


async def test_a_caller_above_its_rate_is_refused_by_the_slow_way_and_counted_once(cache: Cache) -> None:
    ways = Ways(cache)
    await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    statuses = [(await ask_app(ways.fast, HOT[0], headers=[SLOW])).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    await asyncio.sleep(1 / 3)
    assert (await ask_app(ways.fast, HOT[0], headers=[SLOW])).status_code == 200


async def test_while_draining_a_hot_answer_sends_its_caller_elsewhere_too(cache: Cache) -> None:
    ways = Ways(cache)
    before = await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    ways.drain.begin()
    after = await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    assert ("connection" in before.headers, after.headers["connection"]) == (False, "close")


async def test_a_rated_caller_is_told_of_its_rate_both_ways(cache: Cache) -> None:
    ways = Ways(cache)
    await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    slow, fast = await ways.ask((HOT[0], "GET", [SLOW]))
    assert ways.hot
    assert [name for name, _ in fast[1]] == [name for name, _ in slow[1]]


@pytest.mark.parametrize("origin", [b"https://app.example.com", b"https://evil.example"])
async def test_a_page_is_let_or_kept_out_both_ways(cache: Cache, origin: bytes) -> None:
    ways = Ways(cache, ["https://app.example.com"])
    await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    for headers in ([], [(b"origin", origin)], [(b"origin", origin), (b"if-none-match", b"*")]):
        slow, fast = await ways.ask((HOT[0], "GET", [*KEYS[0], *headers, (b"x-request-id", b"given")]))
        assert fast == slow
        lets = any(name == b"access-control-allow-origin" for name, _ in fast[1])
        assert lets == (b"app" in origin and bool(headers))
    assert ways.hot


async def test_what_is_told_to_a_page_is_not_told_to_the_next_who_asks(cache: Cache) -> None:
    ways = Ways(cache, ["https://app.example.com"])
    page = (b"origin", b"https://app.example.com")
    await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    answers = [await ask_app(ways.fast, HOT[0], headers=[*KEYS[0], *more]) for more in ([], [page], [page], [])]
    assert ["access-control-allow-origin" in answer.headers for answer in answers] == [False, True, True, False]
    assert {answer.headers["vary"].count("Origin") for answer in answers} == {1}


async def test_a_request_that_is_part_of_a_trace_goes_where_it_is_traced(cache: Cache) -> None:
    ways = Ways(cache)
    await ask_app(ways.fast, HOT[0], headers=KEYS[0])
    trace = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert (await ask_app(ways.fast, HOT[0], headers=[*KEYS[0], trace])).status_code == 200
    assert not ways.hot

"""The hot path, the bypass and Litestar give the same answers, and count and audit them alike. Each test runs all three."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import msgspec
import pytest
from fakeredis import FakeServer

from app.access.callers import Caller, Callers, hash_key
from app.access.validity import Validity
from app.balances.snapshots import AccountId, Snapshot
from app.errors import Unreachable
from app.resilience.draining import Drain
from app.telemetry.logs import REQUEST_FIELDS
from tests.support.read_paths import Answer, ReadPath, ShortLivedTokens, captured_logs
from tests.support.replica import Replica, Upstream, run_replicas
from tests.support.virtual_time import monotonic, unix_ms

Request = tuple[str, str, list[tuple[bytes, bytes]]]

CALLERS = (
    Caller("all", hash_key("all"), "all", portfolio=True),
    Caller("some", hash_key("some"), frozenset({AccountId("1")})),
    Caller("slow", hash_key("slow"), "all", portfolio=True, rate=3),
    Caller("narrow", hash_key("narrow"), "all", concurrency=1),
)
PAGE = "/v1/merchants/1/balances"
UPSTREAM_SHAPE = "/v2/assets/account/assets"
TARGETS = (
    [f"/v1/merchants/{merchant}/balances" for merchant in (1, 2, 3, "01", "x", "%31", "1%2f", "1%2F2", "%D9%A1", "%ff")]
    + [f"/v1/merchants/{merchant}/balances" for merchant in ("9" * 20, "1%20", "1%0A", "1%3Fx", "..", "1%2Fbalances")]
    + [PAGE + tail for tail in ("/USDT", "/BTC", "/US%44T", "/", "/USDT/", "/USDT/x", "/%20", "?", "?&&", "?=", "?x=1")]
    + [
        f"{PAGE}?nonzero{tail}"
        for tail in ("", "=", "=true", "=false", "=True", "=true&", "=true&nonzero=true", "=%74rue")
    ]
    + [f"{PAGE}?assets={assets}" for assets in ("USDT", "BTC", "BTC,USDT", "USDT,BTC", "USDT%2CBTC", "", ",", "US+DT")]
    + [
        f"{PAGE}?assets={assets}"
        for assets in ("USDT&nonzero=true", "%ff", "\xff", "%00", "A" * 65, "%55" * 200, "A" * 9000)
    ]
    + [
        f"{PAGE}?format={name}"
        for name in ("csv", "json", "text", "xml", "", "csv&format=csv", "xml&x=1", "xml&assets=")
    ]
    + [f"{PAGE}/USDT?{query}" for query in ("format=text", "nonzero=true", "x=1")]
    + [f"{PAGE}?nonzero=true&format=text", f"{PAGE}/BTC?format=csv", f"{PAGE}?merchantId=1", f"{PAGE}?%6eonzero=true"]
    + ["/v1/merchants/x/balances?x=1", "/v1/merchants/2/balances?assets=", "/v1/merchants/2/balances?format=xml"]
    + ["/v1/portfolio", "/v1/portfolio?nonzero=true", "/v1/portfolio?format=csv", "/v1/portfolio?format=xml"]
    + ["/v1/portfolio/", "//v1/portfolio", "/v1/portfolios", "/v1%2fportfolio", "/v1/merchants//balances", "/"]
    + [
        f"{UPSTREAM_SHAPE}?merchantId={key}"
        for key in ("0", "1", "2", "01", "%31", "1&merchantId=1", "", "1&format=csv")
    ]
    + [UPSTREAM_SHAPE, f"{UPSTREAM_SHAPE}?x=1", f"{UPSTREAM_SHAPE}?format=csv", "/health/live"]
)
LONGEST = f"{PAGE}?assets={','.join(['%55' * 40] * 70)}"  # a selection like any other, but for its length
TARGETS.append(LONGEST)
HOT = [*TARGETS[:2], f"{PAGE}/USDT", "/v1/portfolio", f"{UPSTREAM_SHAPE}?merchantId=1"]
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
ALL, SOME = KEYS[0], KEYS[5]
SLOW, NARROW = [(b"authorization", b"Bearer slow")], [(b"authorization", b"Bearer narrow")]
GIVEN = (b"x-request-id", b"given")
NO_CACHE = (b"cache-control", b"no-cache")
HEADERS: list[tuple[bytes, bytes]] = [
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-encoding", b"gzip;q=0.5, identity;q=0"),
    (b"accept-encoding", b""),
    (b"cache-control", b"max-age=60"),
    (b"cache-control", b"only-if-cached, max-age=0"),
    (b"cache-control", b"max-stale"),
    (b"cache-control", b"max-age=x"),
    (b"cache-control", b"no-transform"),
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
CACHE_CONTROL = [b"no-cache"] * 4 + [b"max-age=1", b"max-age=x", b"only-if-cached", b"max-stale=600", b"max-age=0"]
WAITING = [
    *(f"/v1/merchants/{merchant}/balances" for merchant in (1, 2, "01", "%31")),
    *(f"{PAGE}{tail}" for tail in ("/USDT", "/BTC", "?nonzero=true", "?assets=BTC,USDT", "?x=1", "?format=json")),
    *("/v1/portfolio", "/v1/portfolio?format=csv", f"{UPSTREAM_SHAPE}?merchantId=1", "/health/live"),
]
WAITING_HEADERS: list[tuple[bytes, bytes]] = [
    (b"accept-encoding", b"gzip;q=0.5, identity;q=0"),
    (b"if-none-match", b"*"),
    (b"if-none-match", b'"x"'),
    (b"accept", b"text/csv"),
    (b"accept", b"application/json"),
    (b"x-bh-token", b"all"),
    (b"cache-control", b"max-age=3"),
    (b"content-length", b"3"),
]
CALM: dict[str, Any] = {"error": None, "absent": False, "seconds": 0.1}
TROUBLES: list[dict[str, Any]] = [{"error": Unreachable("x")}, {"absent": True}, {"seconds": 20.0}, *([{}] * 5)]


class Paths:
    """The three paths over one cache, with the same callers."""

    def __init__(self, replica: Replica, origins: Collection[str] = ()) -> None:
        self.memory = replica.memory
        self.drain = Drain()
        tokens = ShortLivedTokens(hash_key("eyJ"), monotonic() + 0.5, monotonic)
        self.callers = Callers(CALLERS, workers=1, monotonic=monotonic, judge=tokens, now=unix_ms)
        self.plain, self.bypass, self.hot, self._warm_up = (
            ReadPath(name, replica.cache, self.callers, self.drain, frozenset(origins))
            for name in ("plain", "bypass", "hot", "plain")
        )

    @property
    def hot_answers(self) -> int:
        return self.hot.metrics.hot_answers

    async def ask(self, target: str, method: str = "GET", headers: Collection[tuple[bytes, bytes]] = ()) -> Answer:
        """Ask by all three paths, and return the answer that they have in common."""
        await self.warm_up(target)  # else the first path would fetch for the others
        paths = (self.plain, self.bypass, self.hot)
        answers = [_comparable(await path.ask(target, method, list(headers))) for path in paths]
        assert answers[1:] == answers[:1] * 2, (target, method, headers)
        return answers[0]

    async def warm_up(self, target: str) -> Answer:
        return await self._warm_up.ask(target, headers=ALL)


def _comparable(answer: Answer) -> Answer:
    """Leave out a request id that we made: it is another for each request."""
    status, headers, body = answer
    made = dict(headers)[b"x-request-id"]
    if made not in {b"given", b"mine"}:
        headers, body = [(name, value) for name, value in headers if value != made], body.replace(made, b"")
    return status, headers, body


def _json(answer: Answer) -> Any:
    return msgspec.json.decode(answer[2])


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with run_replicas(Upstream(), FakeServer(), 1) as (replica,):
        yield replica


@pytest.fixture
async def paths(replica: Replica) -> Paths:
    return Paths(replica)


def _make_request(random: Random, etags: list[bytes]) -> Request:
    method = random.choice(["GET"] * 6 + ["HEAD"] * 2 + ["POST", "OPTIONS"])
    headers = list(ALL if random.random() < 0.6 else random.choice(KEYS))
    headers += random.sample(HEADERS, random.choice([0, 1, 1, 2, 3]))
    if all(name != b"x-request-id" for name, _ in headers) and random.random() < 0.5:  # else it comes as raw again
        headers.append(GIVEN)
    headers = [(name, value.replace(b"{etag}", random.choice(etags))) for name, value in headers]
    random.shuffle(headers)
    return random.choice(HOT if random.random() < 0.6 else TARGETS), method, headers


async def test_a_thousand_requests_get_the_same_by_all_paths(paths: Paths) -> None:
    random = Random(6)
    etags = [dict((await paths.warm_up(target))[1])[b"etag"] for target in HOT]
    seen: Counter[int] = Counter()
    with captured_logs():
        for number in range(1_000):
            request = _make_request(random, etags)
            for _ in range(2):  # the second time, the hot path replays the first one
                seen[(await paths.ask(*request))[0]] += 1
            if number % 10 == 0:
                await asyncio.sleep(random.random() * 1.3)
    assert {200, 204, 304, 400, 401, 403, 404, 405, 414, 431, 504} <= set(seen), seen
    assert paths.hot_answers > 400
    assert not paths.plain.metrics.hot_answers + paths.bypass.metrics.hot_answers
    counted = []
    for path in (paths.plain, paths.bypass, paths.hot):
        list(path.metrics.families())
        counted.append(dict(path.metrics.requests.counts))
    assert counted[1:] == counted[:1] * 2


@pytest.mark.parametrize("key", [ALL, SOME, []], ids=["all", "some", "none"])
async def test_every_target_gets_the_same_with_every_method(key: list[tuple[bytes, bytes]], paths: Paths) -> None:
    with captured_logs():
        for target in TARGETS:
            for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "get"):
                await paths.ask(target, method, [*key, GIVEN])
            for header in ((b"accept", b"text/csv"), (b"cache-control", b"max-age=x")):
                await paths.ask(target, "GET", [*key, header, GIVEN])


async def test_rights_are_asked_for_before_any_look(paths: Paths) -> None:
    await paths.ask(HOT[1], headers=ALL)
    before = paths.hot_answers
    answers = [await paths.ask(f"/v1/merchants/{merchant}/balances", headers=SOME) for merchant in (2, 99)]
    assert [status for status, *_ in answers] == [403, 403]
    assert paths.hot_answers == before


CHANGES: dict[str, tuple[Caller, ...]] = {
    "its key is withdrawn": CALLERS[::2],
    "its key is another's": (*CALLERS[::2], Caller("new", hash_key("some"), frozenset({AccountId("2")}))),
    "it may read others only": (*CALLERS[::2], Caller("some", hash_key("some"), frozenset({AccountId("2")}))),
}


@pytest.mark.parametrize("callers", CHANGES.values(), ids=CHANGES)
async def test_what_was_remembered_for_a_caller_is_forgotten_when(callers: tuple[Caller, ...], paths: Paths) -> None:
    for _ in range(2):
        assert (await paths.ask(HOT[0], headers=[*SOME, GIVEN]))[0] == 200
    assert paths.hot_answers == 2
    paths.callers.replace_all(callers)
    assert (await paths.ask(HOT[0], headers=[*SOME, GIVEN]))[0] in {401, 403}
    assert paths.hot_answers == 2


async def test_a_token_that_ends_within_the_second_is_good_no_longer(paths: Paths) -> None:
    statuses = []
    for _ in range(4):
        statuses.append((await paths.ask(HOT[0], headers=[(b"authorization", b"Bearer eyJ"), GIVEN]))[0])
        await asyncio.sleep(0.15)
    assert statuses == [200, 200, 200, 401]
    assert paths.hot_answers == 3


async def test_a_key_that_ends_within_the_second_is_good_no_longer(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    begins, ends = unix_ms() + 100, unix_ms() + 500
    paths.callers.replace_all([*CALLERS, Caller("brief", hash_key("brief"), "all", validity=Validity(begins, ends))])
    statuses = []
    for _ in range(6):
        statuses.append((await paths.ask(HOT[0], headers=[(b"authorization", b"Bearer brief"), GIVEN]))[0])
        await asyncio.sleep(0.1)
    assert statuses == [401, 200, 200, 200, 200, 401]
    assert paths.hot_answers == 4


async def test_a_renewed_memo_ends_with_the_key(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    paths.callers.replace_all(
        [*CALLERS, Caller("brief", hash_key("brief"), "all", validity=Validity(0, unix_ms() + 1500))]
    )
    statuses = []
    for _ in range(4):
        statuses.append((await paths.ask(HOT[0], headers=[(b"authorization", b"Bearer brief"), GIVEN]))[0])
        await asyncio.sleep(0.45)
    assert statuses == [200, 200, 200, 200]
    assert (await paths.ask(HOT[0], headers=[(b"authorization", b"Bearer brief"), GIVEN]))[0] == 401


async def test_a_caller_that_gets_a_rate_is_held_to_it_at_once(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    before = [await paths.hot.ask(HOT[0], headers=ALL) for _ in range(9)]
    paths.callers.replace_all([msgspec.structs.replace(CALLERS[0], rate=3), *CALLERS[1:]])
    after = [await paths.hot.ask(HOT[0], headers=ALL) for _ in range(4)]
    assert {status for status, *_ in before} == {200}
    assert [status for status, *_ in after] == [200, 200, 200, 429]
    left = [dict(headers)[b"ratelimit"].split(b";")[1] for _, headers, _ in after]
    assert left == [b"r=2", b"r=1", b"r=0", b"r=0"]
    assert paths.hot_answers == 12


async def test_age_and_ttl_move_on_with_each_second(paths: Paths) -> None:
    ages = []
    for _ in range(60):
        ages.append(int(dict((await paths.ask(HOT[0], headers=[*ALL, GIVEN]))[1])[b"age"]))
        await asyncio.sleep(0.13)
    assert {0, 1, 2, 3, 4, 5} == set(ages)
    list(paths.hot.metrics.families())
    assert sum(ages) < paths.hot.metrics.answer_age.series[()][-1] < sum(ages) + 60


async def test_an_outdated_representation_is_not_sent(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    first, again = [await paths.hot.ask(HOT[0], headers=ALL) for _ in range(2)]
    await paths.hot.ask(HOT[0], headers=[*ALL, NO_CACHE])
    newer = await paths.hot.ask(HOT[0], headers=ALL)
    assert again[2] == first[2]
    assert _json(newer)["balances"][0]["total"] == "2"


@pytest.mark.parametrize("id_header", [[], [GIVEN]], ids=["raw", "by its key"])
async def test_a_directive_without_effect_is_hot_and_one_with_effect_is_not(
    id_header: list[tuple[bytes, bytes]], paths: Paths
) -> None:
    etag = dict((await paths.warm_up(HOT[0]))[1])[b"etag"]
    ours = [*ALL, *id_header, (b"if-none-match", etag), (b"cache-control", b"no-transform"), (b"pragma", b"no-cache")]
    assert [(await paths.ask(HOT[0], headers=ours))[0] for _ in range(3)] == [304] * 3
    assert paths.hot_answers == 3
    await paths.ask(HOT[0], headers=[*ours, (b"cache-control", b"max-age=60")])
    await paths.ask(HOT[0], headers=[*ALL, (b"prefer", b"no-transform")])
    assert paths.hot_answers == 3


async def test_a_newer_snapshot_is_rendered_and_an_asset_that_is_gone_is_not_found(paths: Paths) -> None:
    targets = PAGE, f"{PAGE}/USDT"
    for target in targets:
        await paths.ask(target, headers=ALL)
    before = paths.hot_answers
    paths.memory.put(Snapshot(AccountId("1"), unix_ms() + 1, can_deposit=False, balances=()))
    await asyncio.sleep(0.1)
    account, row = [await paths.ask(target, headers=ALL) for target in targets]
    assert (_json(account)["canDeposit"], _json(account)["balances"]) == (False, [])
    assert (row[0], _json(row)["type"]) == (404, "/problems/unknown-asset")
    assert paths.hot_answers == before + 1
    assert (await paths.ask(targets[1], headers=[*ALL, (b"accept", b"text/csv")]))[0] == 404


async def test_what_a_clock_ahead_of_ours_wrote_is_as_new_as_can_be_and_counted_so(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    paths.memory.put(Snapshot(AccountId("1"), unix_ms() + 4_000, can_deposit=False, balances=()))
    ages = [dict((await paths.ask(HOT[0], headers=ALL))[1])[b"age"] for _ in range(3)]
    list(paths.hot.metrics.families())
    assert ages == [b"0"] * 3
    assert paths.hot.metrics.answer_age.series[()][-1] == pytest.approx(0, abs=0.01)


async def test_a_hot_read_is_refreshed_in_the_background_like_any_other(paths: Paths) -> None:
    read = []
    for _ in range(4):
        answer = await paths.hot.ask(HOT[0], headers=ALL)
        read.append((_json(answer)["balances"][0]["total"], dict(answer[1])[b"age"]))
        await asyncio.sleep(6)
    assert read == [("1", b"0"), ("1", b"6"), ("2", b"5"), ("3", b"5")]


async def test_a_memoised_answer_is_refreshed_a_little_early_too(paths: Paths) -> None:
    read = []
    for seconds in (0, 4.5, 0.494, 0.2):  # with the luck of this cache a newer one is fetched 8 ms before it is due
        await asyncio.sleep(seconds)
        answer = await paths.hot.ask(HOT[0], headers=ALL)
        read.append((_json(answer)["balances"][0]["total"], dict(answer[1])[b"age"]))
    assert read == [("1", b"0"), ("1", b"4"), ("1", b"4"), ("2", b"0")]
    assert paths.hot_answers == 3


async def test_a_memo_that_gets_older_is_refreshed_a_little_early_too(paths: Paths) -> None:
    read = []
    for seconds in (0, 0.01, 4.984, 0.2):  # the second read makes a memo, and the third brings it to another age
        await asyncio.sleep(seconds)
        answer = await paths.hot.ask(HOT[0], headers=ALL)
        read.append((_json(answer)["balances"][0]["total"], dict(answer[1])[b"age"]))
    assert read == [("1", b"0"), ("1", b"0"), ("1", b"4"), ("2", b"0")]


async def test_a_memo_is_never_older_than_the_policy_allows(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    await paths.hot.ask(HOT[0], headers=ALL)
    await asyncio.sleep(100)
    answer = await paths.hot.ask(HOT[0], headers=ALL)
    assert (_json(answer)["balances"][0]["total"], dict(answer[1])[b"age"]) == ("2", b"0")


async def test_a_caller_above_its_rate_is_refused_and_counted_once(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    statuses = [(await paths.hot.ask(HOT[0], headers=SLOW))[0] for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    await asyncio.sleep(1 / 3)
    assert (await paths.hot.ask(HOT[0], headers=SLOW))[0] == 200


async def test_while_draining_a_hot_answer_sends_its_caller_elsewhere_too(paths: Paths) -> None:
    before = await paths.ask(HOT[0], headers=ALL)
    paths.drain.begin()
    after = await paths.ask(HOT[0], headers=ALL)
    assert (b"connection" in dict(before[1]), dict(after[1])[b"connection"]) == (False, b"close")


async def test_a_rated_caller_is_shown_its_rate_by_all_paths(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    names = [
        [name for name, _ in (await path.ask(HOT[0], headers=SLOW))[1]]
        for path in (paths.plain, paths.bypass, paths.hot)
    ]
    assert paths.hot_answers
    assert b"ratelimit" in names[0]
    assert names[1:] == names[:1] * 2


@pytest.mark.parametrize("origin", [b"https://app.example.com", b"https://evil.example"])
async def test_a_web_page_is_let_in_or_kept_out_by_all_paths(replica: Replica, origin: bytes) -> None:
    paths = Paths(replica, ["https://app.example.com"])
    for headers in ([], [(b"origin", origin)], [(b"origin", origin), (b"if-none-match", b"*")]):
        _, sent, _ = await paths.ask(HOT[0], headers=[*ALL, *headers, GIVEN])
        lets_in = any(name == b"access-control-allow-origin" for name, _ in sent)
        assert lets_in == (b"app" in origin and bool(headers))
    assert paths.hot_answers


async def test_what_a_web_page_gets_is_not_given_to_the_next_caller(replica: Replica) -> None:
    paths = Paths(replica, ["https://app.example.com"])
    page = (b"origin", b"https://app.example.com")
    await paths.warm_up(HOT[0])
    answers = [await paths.hot.ask(HOT[0], headers=[*ALL, *more]) for more in ([], [page], [page], [])]
    sent = [dict(headers) for _, headers, _ in answers]
    assert [b"access-control-allow-origin" in headers for headers in sent] == [False, True, True, False]
    assert {headers[b"vary"].count(b"Origin") for headers in sent} == {1}


async def test_a_request_that_is_part_of_a_trace_goes_where_it_is_traced(paths: Paths) -> None:
    await paths.warm_up(HOT[0])
    trace = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert (await paths.ask(HOT[0], headers=[*ALL, trace]))[0] == 200
    assert not paths.hot_answers


class Fleet:
    """A path with a replica and an upstream of its own, which live through the same at the same moments."""

    def __init__(self, name: str, replica: Replica, upstream: Upstream) -> None:
        self.upstream = upstream
        slower = [msgspec.structs.replace(caller, rate=caller.rate and 1) for caller in CALLERS]
        callers = Callers(slower, workers=1, monotonic=monotonic)
        self.path = ReadPath(name, replica.cache, callers, Drain(), frozenset())

    def counted(self) -> list[Mapping[Any, Any]]:
        list(self.path.metrics.families())
        return [self.path.metrics.requests.counts, self.path.metrics.refusals.counts]


@pytest.fixture
async def fleets() -> AsyncIterator[list[Fleet]]:
    async with AsyncExitStack() as stack:
        fleets = []
        for name in ("plain", "bypass", "hot"):
            upstream = Upstream()
            (replica,) = await stack.enter_async_context(run_replicas(upstream, FakeServer(), 1))
            fleets.append(Fleet(name, replica, upstream))
        yield fleets


async def _ask_each(fleets: list[Fleet], target: str, headers: Collection[Any], method: str = "GET") -> Answer:
    answers = await asyncio.gather(*(fleet.path.ask(target, method, [*headers, GIVEN]) for fleet in fleets))
    assert answers[1:] == answers[:1] * 2, (target, method, headers)
    return answers[0]


async def test_reads_that_wait_and_fail_get_the_same_and_are_counted_and_audited_alike(fleets: list[Fleet]) -> None:
    random, statuses = Random(11), Counter[int]()
    keys = [b"all", b"all", b"all", b"some", b"slow", b"slow", b"narrow", b"unknown"]
    with captured_logs() as logs:
        for number in range(400):
            if number % 10 == 0:
                trouble = random.choice(TROUBLES)
                for fleet in fleets:
                    fleet.upstream.__dict__.update(CALM | trouble)
            headers = [(b"authorization", b"Bearer " + random.choice(keys))]
            headers += random.sample(WAITING_HEADERS, random.choice([0, 0, 1, 2]))
            if random.random() < 0.8:
                headers.append((b"cache-control", random.choice(CACHE_CONTROL)))
            random.shuffle(headers)
            target = PAGE if random.random() < 0.4 else random.choice(WAITING)
            method = random.choice(["GET"] * 5 + ["HEAD", "POST"])
            statuses[(await _ask_each(fleets, target, headers, method))[0]] += 1
            await asyncio.sleep(random.choice([0, random.random()]))
    assert {200, 304, 400, 401, 403, 404, 405, 429, 503, 504} <= set(statuses), statuses
    plain, bypass, hot = fleets
    assert plain.counted() == bypass.counted() == hot.counted()
    assert plain.path.metrics.answer_age.series == bypass.path.metrics.answer_age.series
    assert len(logs.of(plain.path)) > 250
    assert logs.of(plain.path) == logs.of(bypass.path)
    assert [line for line in logs.of(plain.path) if line["event"] != "audit.answered"] == logs.of(hot.path)


async def test_a_caller_has_no_more_places_by_any_path(fleets: list[Fleet]) -> None:
    targets = PAGE, "/v1/merchants/2/balances"
    for target in targets:
        await _ask_each(fleets, target, ALL)
    first, second = await asyncio.gather(*(_ask_each(fleets, target, [*NARROW, NO_CACHE]) for target in targets))
    assert (first[0], second[0]) == (200, 429)
    assert (await _ask_each(fleets, PAGE, [*NARROW, NO_CACHE]))[0] == 200


async def test_an_unforeseen_error_is_logged_and_answered_alike(fleets: list[Fleet]) -> None:
    await _ask_each(fleets, PAGE, ALL)
    for fleet in fleets:
        fleet.upstream.error = RuntimeError("what may hold a secret")
    with captured_logs() as logs:
        answer = await _ask_each(fleets, PAGE, [*ALL, NO_CACHE])
    assert (answer[0], b"secret" in answer[2]) == (500, False)
    crashes = [
        [line["request_id"] for line in logs.of(fleet.path) if line["event"] == "cache.flight_crashed"]
        for fleet in fleets
    ]
    assert crashes == [["given"]] * 3


async def test_after_a_request_the_log_is_no_longer_of_it(paths: Paths) -> None:
    await paths.hot.ask(PAGE, headers=[*ALL, GIVEN])
    assert REQUEST_FIELDS.get(None) is None


@pytest.mark.parametrize(
    ("merchant", "query", "status"),
    [("x", "assets=", 400), ("2", "assets=", 403), ("2", "x=1", 400), ("1", "assets=", 400)],
)
async def test_what_is_wrong_with_the_rows_is_for_a_caller_with_the_right(
    merchant: str, query: str, status: int, paths: Paths
) -> None:
    assert (await paths.ask(f"/v1/merchants/{merchant}/balances?{query}", headers=SOME))[0] == status


async def test_a_caller_without_the_right_has_nothing_fetched(fleets: list[Fleet]) -> None:
    await _ask_each(fleets, "/v1/merchants/2/balances", ALL)
    assert (await _ask_each(fleets, "/v1/merchants/2/balances", [*SOME, NO_CACHE]))[0] == 403
    assert [fleet.upstream.calls for fleet in fleets] == [1, 1, 1]

"""The short way and the framework behind it give the same answers to reads that wait, count them alike, and audit them alike.

Each has a fleet of its own, which live through the same at the same moments.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
from fakeredis import FakeServer
from structlog.testing import capture_logs

from app.access.callers import Caller, Callers, hash_key
from app.api.middleware.audit import Audit
from app.api.middleware.deadline import RequestDeadline
from app.api.middleware.edge import Edge
from app.balances.snapshots import AccountId
from app.cache.cache import Cache
from app.errors import Unreachable
from app.resilience.draining import Drain
from app.telemetry.metrics import Metrics
from tests.support.apps import face_over
from tests.support.raw_asgi import Headers, ask_app
from tests.support.replica import Upstream, run_replicas
from tests.support.virtual_time import monotonic

CALLERS = (
    Caller("all", hash_key("all"), "all", portfolio=True),
    Caller("some", hash_key("some"), frozenset({AccountId("1")})),
    Caller("slow", hash_key("slow"), "all", portfolio=True, rate=1),
    Caller("narrow", hash_key("narrow"), "all", concurrency=1),
)
PAGE = "/v1/merchants/1/balances"
TARGETS = [
    *(f"/v1/merchants/{merchant}/balances" for merchant in (1, 2, "01", "%31")),
    *(f"{PAGE}{tail}" for tail in ("/USDT", "/BTC", "?nonzero=true", "?assets=BTC,USDT", "?x=1", "?format=json")),
    *("/v1/portfolio", "/v1/portfolio?format=csv", "/v2/assets/account/assets?merchantId=1", "/health/live"),
]
KEYS = [b"all", b"all", b"all", b"some", b"slow", b"slow", b"narrow", b"unknown"]
CACHE_CONTROL = [b"no-cache"] * 4 + [b"max-age=1", b"max-age=x", b"only-if-cached", b"max-stale=600", b"max-age=0"]
WISHES: list[tuple[bytes, bytes]] = [
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


class Noted(Audit):
    """An audit that writes nothing, and keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(monotonic, refusals=True, answers=True)  # so nothing is answered by the front
        self.lines: list[tuple[str | None, int, Mapping[str, Any]]] = []

    def record(self, caller: str | None, status: int, about: Mapping[str, Any]) -> None:
        self.lines.append((caller, status, about))


class Way:
    """One of the two ways; `framework` is how many requests came to the framework."""

    def __init__(self, cache: Cache, upstream: Upstream, *, is_short: bool) -> None:
        self.upstream = upstream
        self.metrics = Metrics()
        self.audit = Noted()
        self.framework = 0
        face = face_over(
            cache, Callers(CALLERS, workers=1, monotonic=monotonic), monotonic, metrics=self.metrics, audit=self.audit
        )
        short_way: Any = face._app._app  # type: ignore[attr-defined]
        framework = short_way._app

        async def count(*asgi: Any) -> None:
            self.framework += 1
            await framework(*asgi)

        short_way._app = count
        edge = Edge(RequestDeadline(count, 30), self.metrics, Drain(), face._request_ids, audit=self.audit)
        self._app = face if is_short else edge

    async def ask(self, target: str, headers: Headers, method: str = "GET") -> tuple[Any, ...]:
        answer = await ask_app(self._app, target, method, headers)
        headers = [
            (name, b", ".join(sorted(value.split(b", "))) if name == b"allow" else value)
            for name, value in answer.headers.raw
        ]
        return answer.status_code, headers, answer.content

    def counted(self) -> list[Mapping[Any, Any]]:
        list(self.metrics.families())
        return [self.metrics.requests.counts, self.metrics.refusals.counts, self.metrics.answer_age.series]


@pytest.fixture
async def ways() -> AsyncIterator[tuple[Way, Way]]:
    async with AsyncExitStack() as stack:
        made = []
        for is_short in (True, False):
            upstream = Upstream()
            (replica,) = await stack.enter_async_context(run_replicas(upstream, FakeServer(), 1))
            made.append(Way(replica.cache, upstream, is_short=is_short))
        yield made[0], made[1]


async def _ask_both(ways: tuple[Way, Way], target: str, headers: Headers, method: str = "GET") -> tuple[Any, ...]:
    headers = [*headers, (b"x-request-id", b"given")]
    short, long = await asyncio.gather(*(way.ask(target, headers, method) for way in ways))
    assert short == long, (target, headers)
    return short


def _bearer(key: bytes) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + key


async def test_requests_of_all_kinds_get_the_same_down_both_ways(ways: tuple[Way, Way]) -> None:
    random = Random(11)
    statuses: Counter[int] = Counter()
    for number in range(400):
        if number % 10 == 0:
            trouble = random.choice(TROUBLES)
            for way in ways:
                way.upstream.__dict__.update(CALM | trouble)
        headers = [_bearer(random.choice(KEYS)), *random.sample(WISHES, random.choice([0, 0, 1, 2]))]
        if random.random() < 0.8:
            headers.append((b"cache-control", random.choice(CACHE_CONTROL)))
        random.shuffle(headers)
        target = PAGE if random.random() < 0.4 else random.choice(TARGETS)
        statuses[(await _ask_both(ways, target, headers, random.choice(["GET"] * 5 + ["HEAD", "POST"])))[0]] += 1
        await asyncio.sleep(random.choice([0, random.random()]))
    assert {200, 304, 400, 401, 403, 404, 405, 429, 503, 504} <= set(statuses), statuses
    short, long = ways
    assert short.counted() == long.counted()
    assert short.audit.lines == long.audit.lines
    assert long.framework - short.framework > 100


async def test_a_caller_has_no_more_places_down_the_short_way(ways: tuple[Way, Way]) -> None:
    for target in (PAGE, "/v1/merchants/2/balances"):
        await _ask_both(ways, target, [_bearer(b"all")])
    headers = [_bearer(b"narrow"), (b"cache-control", b"no-cache")]
    first, second = await asyncio.gather(
        *(_ask_both(ways, target, headers) for target in (PAGE, "/v1/merchants/2/balances"))
    )
    assert (first[0], second[0]) == (200, 429)
    assert (await _ask_both(ways, PAGE, headers))[0] == 200
    assert ways[0].framework == 2


async def test_what_nobody_foresaw_is_logged_and_answered_as_the_framework_does(ways: tuple[Way, Way]) -> None:
    await _ask_both(ways, PAGE, [_bearer(b"all")])
    for way in ways:
        way.upstream.error = RuntimeError("what may hold a secret")
    with capture_logs() as logs:
        answer = await _ask_both(ways, PAGE, [_bearer(b"all"), (b"cache-control", b"no-cache")])
    assert (answer[0], b"secret" in answer[2]) == (500, False)
    assert [line["event"] for line in logs].count("request.crashed") == 2
    assert ways[0].framework == 1


async def test_a_page_that_was_never_sent_is_left_to_the_framework(ways: tuple[Way, Way]) -> None:
    for _ in range(2):
        await _ask_both(ways, PAGE, [_bearer(b"all"), (b"cache-control", b"no-cache")])
    assert ways[0].framework == 1


async def test_a_caller_without_the_right_has_nothing_fetched(ways: tuple[Way, Way]) -> None:
    await _ask_both(ways, "/v1/merchants/2/balances", [_bearer(b"all")])
    headers = [_bearer(b"some"), (b"cache-control", b"no-cache")]
    assert (await _ask_both(ways, "/v1/merchants/2/balances", headers))[0] == 403
    assert [way.upstream.calls for way in ways] == [1, 1]

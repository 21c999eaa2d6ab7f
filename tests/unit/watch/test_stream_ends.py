"""Ends of streams in virtual time: for which reason, and when."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from msgspec.structs import replace

from app.access.callers import hash_key
from app.access.clients_file import parse_clients
from app.access.clients_watch import ClientsFileWatcher
from app.access.tokens.issuers import Source
from app.access.tokens.jwks import Jwks, parse_jwks
from app.access.tokens.jwks_cache import JwksCache
from app.access.tokens.verifier import TokenVerifier
from app.access.validity import Validity
from app.balances.snapshots import AccountId
from app.errors import IssuerUnavailable, TooManyStreams
from app.resilience.supervision import supervised
from tests.support.live import ALL, SOME, LiveReplica, run_live
from tests.support.raw_asgi import ask_app
from tests.support.replica import Upstream
from tests.support.streams import Reader, open_stream
from tests.support.tokens import ISSUER, NOW, jwks, sign
from tests.support.virtual_time import monotonic, unix_ms, virtual_runtime
from tests.unit.watch.test_streams import WATCH, key, steady

TOKEN = sign(sub="reads-its-own", merchants=[1, 2], exp=NOW + 600)


class _Trust:
    """A verifier of an issuer's tokens, whose keys may change or be out of reach."""

    def __init__(self) -> None:
        self.is_down = False
        self.verifier = TokenVerifier(self._make_ring, lambda: unix_ms() / 1000)
        self.verifier.replace_all([ISSUER])

    def _make_ring(self, source: Source, changed: Callable[[], None]) -> JwksCache:
        return JwksCache(source.issuer, self._fetch, changed, virtual_runtime())

    async def _fetch(self) -> Jwks:
        if self.is_down:
            raise IssuerUnavailable("It is down.")
        return parse_jwks(jwks())


@asynccontextmanager
async def run_trusting(upstream: Upstream, trust: _Trust) -> AsyncIterator[LiveReplica]:
    """Run a replica that takes the issuer's tokens."""
    async with supervised(issuers=trust.verifier.tend), run_live(upstream, judge=trust.verifier) as (live,):
        yield live


def _reason(reader: Reader) -> str:
    return str(reader.events[-1].data["reason"])


async def test_a_dated_key_ends_its_stream_when_reads_refuse_it(upstream: Upstream) -> None:
    caller = replace(ALL, validity=Validity(until=unix_ms() + 100_000))
    async with run_live(upstream, callers=[caller]) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        began = monotonic()
        assert reader.events == []
        await reader.until("synced")
        assert reader.events[0].data["endsAt"] == "2001-09-09T01:48:20.000Z"
        assert (await reader.until("end")).data["reason"] == "expired"
        assert monotonic() - began == pytest.approx(100, abs=1.1)
        assert (await ask_app(live.app, WATCH, headers=key("all"))).status_code == 401


async def test_an_event_that_comes_between_the_end_of_a_key_and_the_next_second_is_not_written(
    upstream: Upstream,
) -> None:
    steady(upstream, m1="1", m2="2")
    caller = replace(ALL, validity=Validity(until=unix_ms() + 60_300))
    async with (
        run_live(upstream, callers=[caller, SOME]) as (live,),
        open_stream(live.app, WATCH, key("all")) as reader,
    ):
        await reader.until("heartbeat", 3)
        await asyncio.sleep((caller.validity.until - unix_ms()) / 1000)
        written = len(reader.named("balances"))
        steady(upstream, m1="7")
        headers = (*key("some"), (b"cache-control", b"no-cache"))
        assert (await ask_app(live.app, "/v1/merchants/1/balances", headers=headers)).status_code == 200
        await reader.until("end")
        assert (_reason(reader), len(reader.named("balances"))) == ("expired", written)


async def test_a_stream_that_outlives_the_new_end_of_its_key_ends_then(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        began = monotonic()
        live.callers.replace_all([replace(ALL, validity=Validity(until=unix_ms() + 50_000)), SOME])
        assert (await reader.until("end")).data["reason"] == "expired"
        assert monotonic() - began == pytest.approx(50, abs=1.1)


@pytest.mark.parametrize("before", ["", "expires = 2030-01-01T00:00:00Z"], ids=["undated", "dated"])
@pytest.mark.parametrize(
    "after",
    [
        "merchants = [1, 2]\nexpires = 2001-09-09T01:46:40Z",
        "merchants = [1]",
        "merchants = [1, 2]\nnot_before = 2030-01-01T00:00:00Z",
    ],
    ids=["ended", "cut", "not-yet"],
)
async def test_a_clients_file_that_is_edited_ends_the_streams_of_what_it_took_away(
    upstream: Upstream, before: str, after: str
) -> None:
    steady(upstream, m1="1", m2="2")
    client = f'[[client]]\nname = "web"\nkey_sha256 = "{hash_key("web")}"\n'
    text = f"{client}merchants = [1, 2]\n{before}"

    async def read() -> str:
        return text

    async with run_live(upstream) as (live,):
        watcher = ClientsFileWatcher(
            read=read,
            parse=lambda text: parse_clients(text, "clients.toml"),
            renew=lambda clients: live.callers.replace_all([ALL, *clients.callers]),
        )
        await watcher.check_once()
        async with supervised(clients=watcher.keep_watching), open_stream(live.app, WATCH, key("web")) as reader:
            await reader.until("synced")
            written = len(reader.named("balances"))
            text, began = client + after, monotonic()
            steady(upstream, m2="7")
            assert (await reader.until("end")).data["reason"] == "rights"
            assert monotonic() - began <= 2
            assert len(reader.named("balances")) == written
            assert (await ask_app(live.app, WATCH, headers=key("web"))).status_code in {401, 403}


async def test_a_token_ends_its_stream_when_reads_refuse_it(upstream: Upstream) -> None:
    async with run_trusting(upstream, _Trust()) as live, open_stream(live.app, WATCH, key(TOKEN)) as one:
        await asyncio.sleep(590)
        assert not one.ended
        assert (await one.until("end")).data["reason"] == "expired"
        assert monotonic() == pytest.approx(600 + ISSUER.leeway_seconds, abs=1.2)
        assert (await ask_app(live.app, WATCH, headers=key(TOKEN))).status_code == 401


async def test_a_token_whose_issuer_is_struck_off_loses_its_stream(upstream: Upstream) -> None:
    trust = _Trust()
    async with run_trusting(upstream, trust) as live, open_stream(live.app, WATCH, key(TOKEN)) as reader:
        await reader.until("synced")
        trust.verifier.replace_all([replace(ISSUER, audience=frozenset({"another"}))])
        assert (await reader.until("end")).data["reason"] == "rights"


async def test_a_token_that_cannot_be_judged_now_ends_its_stream_with_a_problem(upstream: Upstream) -> None:
    trust = _Trust()
    async with run_trusting(upstream, trust) as live, open_stream(live.app, WATCH, key(TOKEN)) as reader:
        await reader.until("synced")
        trust.is_down = True
        trust.verifier.replace_all([replace(ISSUER, source=Source(ISSUER.source.issuer, jwks_file="/elsewhere"))])
        assert (await reader.until("end")).data["reason"] == "problem"


@pytest.mark.parametrize(("hashes", "ends"), [(("new", "some"), False), (("new", None), True)])
async def test_a_stream_stays_while_its_key_is_one_of_two(
    upstream: Upstream, hashes: Collection[str | None], ends: bool
) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("some")) as reader:
        await reader.until("synced")
        new, other = (None if each is None else hash_key(each) for each in hashes)
        live.callers.replace_all([ALL, replace(SOME, key_sha256=new or "", other_key_sha256=other)])
        await asyncio.sleep(15)
        assert (reader.ended, "rights" in reader.text) == (ends, ends)


async def test_a_stream_of_all_ends_when_there_is_more_for_its_caller(upstream: Upstream) -> None:
    async with (
        run_live(upstream, merchants=["1", "2", "3"]) as (live,),
        open_stream(live.app, "/v1/watch?merchantId=all", key("some")) as reader,
    ):
        await reader.until("synced")
        live.callers.replace_all([ALL, replace(SOME, merchants=frozenset(map(AccountId, "123")))])
        assert (await reader.until("end")).data["reason"] == "rights"


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 3240), (0.5, 3600), (1.0, 3960)])
async def test_lives_are_an_hour_give_or_take_a_tenth(upstream: Upstream, chance: float, seconds: int) -> None:
    async with run_live(upstream) as (live,):
        live.chance = chance
        assert live.streams.draw_life_seconds() == pytest.approx(seconds)
        async with open_stream(live.app, WATCH, key("all")) as reader:
            hello = await reader.until("hello")
            ends_at = datetime.fromisoformat(hello.data["endsAt"]).timestamp()
            assert ends_at - unix_ms() / 1000 == pytest.approx(seconds, abs=1)


async def test_a_slow_reader_is_written_no_last_event_and_gives_its_place_back(upstream: Upstream) -> None:
    callers = [replace(ALL, streams=1)]
    async with run_live(upstream, callers=callers) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        with pytest.raises(TooManyStreams):
            live.streams.acquire(callers[0])
        reader.stop()
        await asyncio.sleep(30)
        assert len(live.streams) == 1
        await asyncio.sleep(12)
        assert len(live.streams) == 0
        assert (live.cut, live.metrics.watch.ended.counts[("slow",)]) == ([("192.0.2.7", 4711)], 1)
        assert "event: end" not in reader.text
        live.streams.acquire(callers[0])()

"""Streams in virtual time: what a reader is sent, and when, over a real cache."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from msgspec.structs import replace

from app.access.callers import hash_key
from app.balances.snapshots import AccountId
from app.errors import AccessRefused, TokenRefused, Unreachable
from tests.support.live import ALL, LONG_DRAIN, SOME, run_live
from tests.support.raw_asgi import ask_app
from tests.support.replica import Upstream
from tests.support.streams import Reader, open_stream

WATCH = "/v1/watch?merchantId=1,2&within=10"


def key(name: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", f"Bearer {name}".encode()),)


def steady(upstream: Upstream, **amounts: str) -> None:
    """Let accounts have an amount that stays."""
    upstream.amounts.update({AccountId(name.removeprefix("m")): amount for name, amount in amounts.items()})


def total(data: Any) -> str:
    return str(data["balances"][0]["total"])


async def test_a_stream_says_hello_then_all_parts_then_synced_and_then_how_old_they_are(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("heartbeat", 3)
        names = [event.name for event in reader.events]
        assert names == ["hello", "balances", "balances", "synced", "heartbeat", "heartbeat", "heartbeat"]
        assert (reader.status, reader.headers["content-type"]) == (200, "text/event-stream")
        assert reader.headers["x-accel-buffering"] == "no"
        hello = reader.events[0].data
        assert (hello["resumed"], hello["merchants"], hello["within"]) == ("new", 2, {"wanted": 10, "expected": 10})
        assert reader.text.startswith("retry: 3000\n")
        assert {merchant: total(data) for merchant, data in reader.newest().items()} == {1: "5", 2: "6"}
        assert reader.named("synced")[0].data == {"coverage": {"expected": 2, "fresh": 2, "stale": 0, "unavailable": 0}}
        assert set(reader.named("heartbeat")[0].data) == {"now", "oldestAsOf", "newestAsOf", "coverage"}
        assert all(event.cursor for event in reader.events[1:])


async def test_a_change_is_sent_once_and_whole_and_a_look_that_finds_none_sends_nothing(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("heartbeat", 3)
        steady(upstream, m1="7")
        await reader.until("balances", 3)
        await reader.until("heartbeat", 6)
        assert [total(event.data) for event in reader.named("balances")[2:]] == ["7"]


async def test_an_account_is_fetched_once_for_all_replicas_within_the_age_that_is_wanted(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with run_live(upstream, 2) as lives, AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(open_stream(live.app, WATCH, key("all")))
            for live in lives
            for _ in range(5)
        ]
        for reader in readers:
            await reader.until("synced")
        began = upstream.calls
        await asyncio.sleep(100)
        assert 2 * 10 <= upstream.calls - began <= 2 * 12
        for live in lives:
            assert live.metrics.watch.ages.counts[("exceeded",)] == 0


async def test_a_second_watcher_costs_no_command_of_redis_and_no_call(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as first:
        await first.until("synced")
        commands, calls = dict(live.metrics.redis_commands.counts), upstream.calls
        async with AsyncExitStack() as stack:
            for _ in range(250):
                reader = await stack.enter_async_context(open_stream(live.app, WATCH, key("all")))
                await reader.until("synced")
            assert (dict(live.metrics.redis_commands.counts), upstream.calls) == (commands, calls)


async def test_a_slow_reader_gets_the_newest_of_each_account_and_how_many_that_replaces(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with (
        run_live(upstream) as (live,),
        open_stream(live.app, "/v1/watch?merchantId=1,2&within=5", key("all")) as reader,
    ):
        await reader.until("synced")
        reader.stop()
        for amount in ("7", "8", "9"):
            steady(upstream, m1=amount)
            await asyncio.sleep(6)
        reader.go_on()
        await asyncio.sleep(0.1)
        assert total(reader.newest()[1]) == "9"
        sent = [event.data.get("skipped", 0) for event in reader.named("balances")[2:]]
        assert len(sent) + sum(sent) == 3
        assert sum(sent) == live.metrics.watch.skipped.counts[()] > 0


async def test_readers_that_take_nothing_for_thirty_seconds_are_cut(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), AsyncExitStack() as stack:
        readers: list[Reader] = []
        for number in range(250):
            reader = await stack.enter_async_context(open_stream(live.app, WATCH, key("all"), port=1000 + number))
            await reader.until("synced")
            reader.stop()
            readers.append(reader)
        await asyncio.sleep(60)
        assert sorted(live.cut) == [("192.0.2.7", 1000 + number) for number in range(250)]
        assert live.metrics.watch.ended.counts[("slow",)] == 250
        assert (len(live.streams), len(live.demand)) == (0, 0)


async def test_a_caller_that_is_struck_off_loses_its_stream(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("some")) as reader:
        await reader.until("synced")
        live.callers.replace_all([ALL])
        end = await reader.until("end")
        assert end.data["reason"] == "rights"
        assert 1 <= end.data["retryAfter"] <= 5


async def test_a_caller_that_loses_a_merchant_is_sent_nothing_of_it_any_more(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("some")) as reader:
        await reader.until("synced")
        live.callers.replace_all([ALL, replace(SOME, merchants=frozenset({AccountId("1")}))])
        before = len(reader.named("balances"))
        assert (await reader.until("end")).data["reason"] == "rights"
        assert len(reader.named("balances")) == before


async def test_another_rate_of_its_caller_does_not_end_a_stream(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("some")) as reader:
        await reader.until("synced")
        live.callers.replace_all([ALL, replace(SOME, rate=5.0)])
        await reader.until("heartbeat", 2)
        assert not reader.ended


async def test_a_stream_lives_an_hour(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await asyncio.sleep(3590)
        assert not reader.ended
        assert (await reader.until("end")).data["reason"] == "lifetime"


async def test_a_drain_ends_streams_and_a_new_one_is_told_to_go_elsewhere(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        live.drain.begin()
        async with asyncio.timeout(LONG_DRAIN):
            assert (await reader.until("end")).data["reason"] == "draining"
        async with open_stream(live.app, WATCH, key("all")) as late:
            await late.until("end")
            assert (late.status, [event.name for event in late.events]) == (200, ["hello", "end"])


async def test_a_process_and_a_caller_have_so_many_streams(upstream: Upstream) -> None:
    callers = [replace(ALL, streams=2), SOME]
    async with run_live(upstream, callers=callers, streams=3) as (live,), AsyncExitStack() as stack:
        for name in ("all", "all", "some"):
            await stack.enter_async_context(open_stream(live.app, WATCH, key(name)))
            await asyncio.sleep(0.1)
        for name in ("all", "some"):
            refused = await ask_app(live.app, WATCH, headers=key(name))
            assert refused.status_code == 429
            assert refused.json()["type"] == "/problems/too-many-streams"
            assert 1 <= int(refused.headers["retry-after"]) <= 10
    live.streams.acquire(ALL)()


async def test_a_stream_holds_no_place_of_its_callers_concurrency_and_is_not_under_way(upstream: Upstream) -> None:
    callers = [replace(ALL, concurrency=1)]
    async with run_live(upstream, callers=callers) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        assert live.metrics.under_way == 0
        assert live.metrics.requests.counts[("/v1/watch", "GET", 200)] == 1
        assert (await ask_app(live.app, "/v1/merchants/1/balances", headers=key("all"))).status_code == 200


async def test_what_gets_too_old_is_stale_then_unavailable_and_then_fresh_again(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        upstream.crashes[AccountId("1")] = Unreachable("It is away.")
        await asyncio.sleep(700)
        upstream.crashes.clear()
        await asyncio.sleep(60)
        seen = [event.data for event in reader.named("balances") if event.data["merchantId"] == 1]
        assert [data["status"] for data in seen] == ["fresh", "stale", "unavailable", "fresh"]
        assert seen[2]["problem"]["type"] == "/problems/upstream-unreachable"
        assert [event.data["merchantId"] for event in reader.named("balances")].count(2) == 1


async def test_a_refusal_is_covered_by_nothing_that_is_not_fresh(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        upstream.crashes[AccountId("1")] = AccessRefused("No.")
        await asyncio.sleep(16)
        assert reader.newest()[1]["status"] == "unavailable"
        assert reader.newest()[2]["status"] == "fresh"
        upstream.error = TokenRefused("No.")
        live.refusals.append(upstream.error)
        await asyncio.sleep(16)
        assert reader.newest()[2]["problem"]["type"] == "/problems/token-refused"


async def test_what_is_not_known_in_time_is_said_to_be_unavailable_and_comes_later(upstream: Upstream) -> None:
    upstream.seconds = 8
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        assert {data["problem"]["type"] for data in reader.newest().values()} == {"/problems/not-known-yet"}
        await reader.until("balances", 4)
        assert {data["status"] for data in reader.newest().values()} == {"fresh"}


async def test_a_withdrawn_entry_is_shown_to_nobody_new(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), open_stream(live.app, WATCH, key("all")) as reader:
        await reader.until("synced")
        upstream.seconds = 1
        live.replica.memory.forget(AccountId("1"))
        async with open_stream(live.app, WATCH, key("all")) as late:
            await late.until("balances")
            assert [event.data["merchantId"] for event in late.named("balances")] == [2]
            await late.until("synced")
            assert total(late.newest()[1]) == total(reader.newest()[1])


async def test_all_is_kept_young_by_the_sweep(upstream: Upstream) -> None:
    merchants = [str(number) for number in range(1, 21)]
    async with (
        run_live(upstream, merchants=merchants) as (live,),
        open_stream(live.app, "/v1/watch?merchantId=all&portfolio=true", key("all")) as reader,
    ):
        await reader.until("synced")
        assert reader.events[0].data["merchants"] == 20
        await reader.until("heartbeat")
        assert set(reader.newest()) == set(range(21))
        assert live.sweep.demand.is_there
        assert len(live.demand) == 1  # the aggregate


async def test_all_is_what_a_restricted_caller_may_read_and_nothing_else_shows(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with (
        run_live(upstream, merchants=["1", "2", "3"]) as (live,),
        open_stream(live.app, "/v1/watch?merchantId=all", key("some")) as reader,
    ):
        await reader.until("heartbeat")
        quiet = len(reader.events)
        async with open_stream(live.app, "/v1/watch?merchantId=3&within=5", key("all")) as other:
            await other.until("balances", 5)
        assert [event.name for event in reader.events[quiet:]] == ["heartbeat"] * (len(reader.events) - quiet)
        assert reader.events[0].data["merchants"] == 2
        assert set(reader.newest()) == {1, 2}
        assert reader.named("heartbeat")[-1].data["coverage"]["expected"] == 2
    for target in ("/v1/watch?merchantId=1,3", "/v1/watch?merchantId=1&portfolio=true"):
        assert (await ask_app(live.app, target, headers=key("some"))).status_code == 403


async def test_lines_of_json_and_of_text(upstream: Upstream) -> None:
    steady(upstream, m1="5", m2="6")
    async with run_live(upstream) as (live,):
        async with open_stream(live.app, f"{WATCH}&format=jsonl", key("all")) as reader:
            await asyncio.sleep(1)
            assert reader.headers["content-type"] == "application/jsonl"
            assert [line[:18] for line in reader.text.splitlines()] == [
                '{"event":"hello","',
                '{"event":"balances',
                '{"event":"balances',
                '{"event":"synced",',
            ]
        async with open_stream(live.app, WATCH, (*key("all"), (b"accept", b"text/plain"))) as text:
            await asyncio.sleep(1)
            assert "USDT" in text.text
            assert text.text.splitlines()[0].split() == [
                "merchant",
                "status",
                "as",
                "of",
                "asset",
                "total",
                "free",
                "locked",
            ]


async def test_a_selection_of_assets_hides_changes_of_others(upstream: Upstream) -> None:
    async with (
        run_live(upstream) as (live,),
        open_stream(live.app, "/v1/watch?merchantId=1&assets=BTC&within=5", key("all")) as reader,
    ):
        await reader.until("heartbeat", 3)
        assert upstream.calls > 3  # each with another amount of USDT
        assert len(reader.named("balances")) == 1


async def test_one_hash_of_a_wrong_key_opens_nothing(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,):
        assert (await ask_app(live.app, WATCH, headers=key(hash_key("all")))).status_code == 401
        for wrong in (
            "merchantId=0",
            "merchantId=1&within=4",
            "merchantId=1&format=csv",
            "within=10",
            "merchantId=all,1",
        ):
            assert (await ask_app(live.app, f"/v1/watch?{wrong}", headers=key("all"))).status_code == 400


async def test_an_account_is_as_young_as_its_most_eager_reader_wants_while_it_is_there(upstream: Upstream) -> None:
    steady(upstream, m1="5")
    async with (
        run_live(upstream) as (live,),
        open_stream(live.app, "/v1/watch?merchantId=1&within=60", key("all")) as patient,
    ):
        await patient.until("synced")
        async with open_stream(live.app, "/v1/watch?merchantId=1&within=10", key("all")):
            began = upstream.calls
            await asyncio.sleep(100)
            assert 10 <= upstream.calls - began <= 12
        await asyncio.sleep(60)
        began = upstream.calls
        await asyncio.sleep(120)
        assert 2 <= upstream.calls - began <= 3

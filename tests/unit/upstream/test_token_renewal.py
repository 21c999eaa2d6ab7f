"""One token for the whole fleet, in virtual time."""

import asyncio
from itertools import pairwise

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.errors import TallygateError, TokenRefused, Unreachable
from app.secret import Secret
from app.upstream.token_sealing import Seal
from app.upstream.token_source import TokenState
from tests.support.minting_replicas import LIFE_SECONDS, NAME, Mint, Replica, run_mints
from tests.support.virtual_time import monotonic


@pytest.fixture
def mint() -> Mint:
    return Mint()


def _shown(replicas: list[Replica]) -> set[str | None]:
    return {replica.shown for replica in replicas}


async def _ready(replicas: list[Replica]) -> None:
    await asyncio.gather(*(replica.tokens.ready() for replica in replicas for _ in range(100)))


async def test_a_fleet_that_starts_mints_once(mint: Mint, server: FakeServer) -> None:
    async with run_mints(mint, server, 4) as replicas:
        assert not any(replica.tokens.is_ready for replica in replicas)
        await _ready(replicas)
        assert all(replica.tokens.is_ready for replica in replicas)
        assert _shown(replicas) == {"token-1"}
    assert len(mint.asked) == 1


async def test_a_late_replica_takes_the_fleets_token_for_the_time_that_it_has_left(
    mint: Mint, server: FakeServer
) -> None:
    async with run_mints(mint, server) as early:
        await _ready(early)
        await asyncio.sleep(300)
        async with run_mints(mint, server) as late:
            await _ready(late)
            assert late[0].tokens.seconds_left == pytest.approx(early[0].tokens.seconds_left, abs=0.1)
            assert late[0].tokens.seconds_left == pytest.approx(LIFE_SECONDS - 300, abs=1)
    assert len(mint.asked) == 1


async def test_a_token_is_renewed_before_it_ends_once_in_the_fleet_and_nobody_waits(
    mint: Mint, server: FakeServer
) -> None:
    async with run_mints(mint, server, 4) as replicas:
        await _ready(replicas)
        for _ in range(500):
            await asyncio.sleep(10)
            before = monotonic()
            await asyncio.gather(*(replica.tokens.ready() for replica in replicas))
            assert monotonic() == before
    lives = [later - earlier for earlier, later in pairwise(mint.asked)]
    assert 5 <= len(lives) <= 7
    assert all(0.69 * LIFE_SECONDS <= life <= 0.81 * LIFE_SECONDS for life in lives)


async def test_a_refusal_makes_one_renewal_however_many_it_befalls(mint: Mint, server: FakeServer) -> None:
    async with run_mints(mint, server, 4) as replicas:
        await _ready(replicas)
        for replica in replicas:
            replica.mark_refused()
        renewed = await asyncio.gather(*(replica.tokens.renew() for replica in replicas for _ in range(125)))
        assert renewed == [True] * 500
        assert _shown(replicas) == {"token-2"}
    assert len(mint.asked) == 2


async def test_a_refusal_that_persists_is_a_token_each_minute_and_no_storm(mint: Mint, server: FakeServer) -> None:
    refused = 0
    async with run_mints(mint, server, 4) as replicas:
        await _ready(replicas)
        while monotonic() < 300:
            for replica in replicas:
                replica.mark_refused()
                try:
                    await replica.tokens.renew()
                except TokenRefused:
                    refused += 1
            await asyncio.sleep(0.5)
    assert refused > 500
    assert len(mint.asked) <= 20
    assert mint.asked[1] - mint.asked[0] < 1


async def test_a_token_refused_after_a_rest_is_replaced_at_once(mint: Mint, server: FakeServer) -> None:
    async with run_mints(mint, server) as (replica,):
        for _ in range(3):
            await replica.tokens.ready()
            await asyncio.sleep(400)
            replica.tokens.mark_accepted(replica.tokens.current)
            replica.mark_refused()
            assert await replica.tokens.renew()
    assert len(mint.asked) == 4


@pytest.mark.parametrize("error", [TokenRefused("x"), Unreachable("x")])
async def test_why_nothing_can_be_minted_reaches_all_who_wait_and_few_ask(
    mint: Mint, server: FakeServer, error: TallygateError
) -> None:
    mint.error = error
    async with run_mints(mint, server, 4) as replicas:
        while monotonic() < 60:
            waiting = (replica.tokens.ready() for replica in replicas for _ in range(25))
            told = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(each) for each in told} == {type(error)}
            await asyncio.sleep(0.5)
        assert len(mint.asked) <= 60
        mint.error = None
        await asyncio.sleep(70)
        await _ready(replicas)
        assert replicas[0].tokens.state is TokenState.UNTRIED


async def test_a_refused_key_makes_the_token_refused_and_an_upstream_that_is_down_does_not(
    mint: Mint, server: FakeServer
) -> None:
    mint.error = Unreachable("down")
    async with run_mints(mint, server) as (replica,):
        await asyncio.sleep(10)
        states = [replica.tokens.state]
        mint.error = TokenRefused("key")
        await asyncio.sleep(10)
        assert [*states, replica.tokens.state] == [TokenState.UNTRIED, TokenState.REFUSED]
        assert replica.tokens.refusal is mint.error


async def test_a_renewal_that_fails_leaves_the_token_that_is_still_good(mint: Mint, server: FakeServer) -> None:
    async with run_mints(mint, server) as (replica,):
        await replica.tokens.ready()
        mint.error = TokenRefused("x")
        await asyncio.sleep(0.9 * LIFE_SECONDS)
        before = monotonic()
        await replica.tokens.ready()
        assert (monotonic(), replica.shown) == (before, "token-1")
        mint.error = None
        await asyncio.sleep(61)
        assert replica.shown != "token-1"


async def test_a_replica_that_dies_while_it_mints_is_replaced(mint: Mint, server: FakeServer) -> None:
    mint.seconds = 100
    async with run_mints(mint, server):
        await asyncio.sleep(1)
    mint.seconds = 0.1
    async with run_mints(mint, server) as (other,):
        async with asyncio.timeout(4):
            await other.tokens.ready()
    assert len(mint.asked) == 2


async def test_a_slow_mint_keeps_its_lease(mint: Mint, server: FakeServer) -> None:
    mint.seconds = 20
    async with run_mints(mint, server, 4) as replicas:
        await _ready(replicas)
        assert _shown(replicas) == {"token-1"}
    assert len(mint.asked) == 1


async def test_without_redis_each_replica_mints_its_own(mint: Mint, server: FakeServer) -> None:
    server.connected = False
    async with run_mints(mint, server, 3) as replicas:
        await _ready(replicas)
        assert len(_shown(replicas)) == 3
    assert len(mint.asked) == 3


async def test_what_lies_in_redis_is_replaced_if_it_cannot_be_opened(mint: Mint, server: FakeServer) -> None:
    sealed = Seal(Secret("s3cret"), "other").seal(Secret("foreign"), 1000)
    async with run_mints(mint, server) as (replica,):
        await FakeAsyncRedis(server=server).set(NAME, sealed, px=900_000)
        await replica.tokens.ready()
        assert replica.shown == "token-1"
    assert len(mint.asked) == 1


async def test_redis_holds_the_token_under_seal_only_and_not_longer_than_it_is_good(
    mint: Mint, server: FakeServer
) -> None:
    async with run_mints(mint, server) as (replica,):
        await replica.tokens.ready()
        redis = FakeAsyncRedis(server=server)
        assert await redis.keys() == [NAME.encode()]
        assert b"token-1" not in (await redis.dump(NAME) or b"")
        assert 0 < await redis.pttl(NAME) <= LIFE_SECONDS * 1000


async def test_who_goes_away_while_it_waits_harms_nobody(mint: Mint, server: FakeServer) -> None:
    mint.seconds = 2
    async with run_mints(mint, server) as (replica,):
        waiting = [asyncio.create_task(replica.tokens.ready()) for _ in range(3)]
        await asyncio.sleep(1)
        waiting[0].cancel()
        await asyncio.gather(*waiting[1:])
    assert len(mint.asked) == 1

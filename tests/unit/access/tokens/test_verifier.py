"""Tokens of issuers: which are taken, which are not, and what they may."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.access.callers import Caller, Callers
from app.access.tokens.issuers import Source
from app.access.tokens.jwks import Jwks, parse_jwks
from app.access.tokens.jwks_cache import PATIENCE_SECONDS, JwksCache
from app.access.tokens.verifier import MAX_REMEMBERED, TokenVerifier
from app.errors import IssuerUnavailable, Unauthenticated
from app.resilience.supervision import supervised
from tests.support.tokens import ALGORITHMS, ISSUER, KEYS, NOW, WRONG, jwks, sign
from tests.support.virtual_time import monotonic, virtual_runtime


class _World:
    """An issuer that may be slow or down, and a judge that trusts it."""

    def __init__(self, algorithms: tuple[str, ...] = ALGORITHMS) -> None:
        self.published = jwks(algorithms)
        self.fetches: list[float] = []
        self.seconds = 0.01
        self.down = False
        self.began = NOW
        self.judge = TokenVerifier(self._make_ring, lambda: self.began + monotonic())
        self.judge.replace_all([ISSUER])
        self.callers = Callers([], workers=1, monotonic=monotonic, judge=self.judge)

    def _make_ring(self, source: Source, changed: Callable[[], None]) -> JwksCache:
        return JwksCache(source.issuer, self._fetch, changed, virtual_runtime())

    async def _fetch(self) -> Jwks:
        self.fetches.append(monotonic())
        await asyncio.sleep(self.seconds)
        if self.down:
            raise IssuerUnavailable("It is down.")
        return parse_jwks(self.published)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["_World"]:
        async with supervised(issuers=self.judge.tend):
            yield self

    async def identify(self, token: str) -> Caller:
        return await self.callers.identify(token)

    async def refuses(self, token: str) -> bool:
        try:
            await self.identify(token)
        except Unauthenticated:
            return True
        return False


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_of_each_algorithm_is_taken_and_then_recalled(algorithm: str) -> None:
    async with _World().running() as world:
        token = sign(algorithm)
        assert world.callers.find_known(token) is None
        assert (await world.identify(token)).name == "kc/somebody"
        assert world.callers.find_known(token) == await world.identify(token)


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_token_is_not_taken_and_not_the_second_time_either(what: str) -> None:
    async with _World().running() as world:
        assert [await world.refuses(WRONG[what]) for _ in range(2)] == [True, True]
        assert world.callers.find_known(WRONG[what]) is None
        assert not await world.refuses(sign())


async def test_a_token_of_an_algorithm_that_the_issuer_has_no_key_for_is_not_taken() -> None:
    async with _World(("ES256",)).running() as world:
        assert await world.refuses(sign("RS256", key=KEYS["RS256"]))
        assert not await world.refuses(sign(header={"kid": None}))


async def test_a_token_of_an_algorithm_that_the_issuers_entry_does_not_name_is_not_taken() -> None:
    async with _World().running() as world:
        world.judge.replace_all([msgspec.structs.replace(ISSUER, algorithms=("RS256",))])
        assert await world.refuses(sign("ES256"))
        assert not await world.refuses(sign("RS256"))


async def test_claims_become_rights_by_the_first_rule_that_fits() -> None:
    tokens = {
        "pod": sign(sub="system:serviceaccount:shop:checkout"),
        "other": sign(sub="system:serviceaccount:shopping:x"),
        "books": sign(realm_access={"roles": ["x", "books"]}),
        "own": sign(sub="reads-its-own", merchants=[7, "8"]),
        "none": sign(sub="reads-its-own"),
    }
    async with _World().running() as world:
        callers = {name: await world.identify(token) for name, token in tokens.items()}
    assert {name: (each.merchants, each.portfolio, each.rate) for name, each in callers.items()} == {
        "pod": ({"1"}, False, None),
        "other": (frozenset(), False, None),
        "books": ("all", True, 5),
        "own": ({"7", "8"}, False, None),
        "none": (frozenset(), False, None),
    }


async def test_a_token_is_taken_until_it_expires_and_no_longer() -> None:
    async with _World().running() as world:
        token = sign(exp=NOW + 60)
        seen = []
        for seconds in (1, 89, 91):  # with a leeway of 30
            world.began = NOW + seconds - monotonic()
            seen.append((await world.refuses(token), world.callers.find_known(token) is None))
    assert seen == [(False, False), (False, False), (True, True)]


async def test_a_token_is_taken_from_when_it_says_give_or_take_the_leeway() -> None:
    async with _World().running() as world:
        assert [await world.refuses(sign(nbf=NOW + seconds)) for seconds in (29, 31)] == [False, True]
        assert [await world.refuses(sign(iat=NOW + seconds)) for seconds in (29, 31)] == [False, True]


async def test_an_issuer_that_is_away_for_an_hour_does_not_matter_to_those_whose_key_is_known() -> None:
    async with _World().running() as world:
        known = sign(exp=NOW + 7200)
        assert not await world.refuses(known)
        world.down, before = True, len(world.fetches)
        for number in range(720):
            assert not await world.refuses(known)
            assert not await world.refuses(sign(exp=NOW + 7200, jti=str(number)))
            assert await world.refuses(sign(header={"kid": "new"}, exp=NOW + 7200, jti=str(number)))
            await asyncio.sleep(5)
        assert len(world.fetches) - before <= 3 + 3600 / 10


async def test_a_key_that_is_new_is_waited_for_and_its_tokens_are_not_refused_once() -> None:
    async with _World(("RS256",)).running() as world:
        assert not await world.refuses(sign("RS256"))
        world.published = jwks()
        asked = await asyncio.gather(*(world.refuses(sign(jti=str(number))) for number in range(50)))
        assert set(asked) == {False}
        assert len(world.fetches) == 2


async def test_the_first_tokens_after_the_start_wait_for_the_keys() -> None:
    world = _World()
    world.seconds = PATIENCE_SECONDS / 2
    async with world.running():
        assert not await world.refuses(sign())


async def test_a_token_that_waits_for_its_key_is_verified_by_the_issuers_of_then() -> None:
    world = _World()
    world.seconds = PATIENCE_SECONDS / 2
    async with world.running(), asyncio.TaskGroup() as group:
        waiting = group.create_task(world.refuses(sign()))
        await asyncio.sleep(PATIENCE_SECONDS / 4)
        world.judge.replace_all([msgspec.structs.replace(ISSUER, audience=frozenset({"another"}))])
    assert waiting.result()


async def test_where_keys_were_never_had_a_token_is_neither_good_nor_bad() -> None:
    world = _World()
    world.down = True
    async with world.running():
        with pytest.raises(IssuerUnavailable):
            await world.identify(sign())
        world.down = False
        await asyncio.sleep(40)
        assert not await world.refuses(sign())


async def test_nobody_waits_longer_than_a_second_for_an_issuer_that_hangs() -> None:
    world = _World()
    world.seconds = 1000
    async with world.running():
        with pytest.raises(IssuerUnavailable):
            await world.identify(sign())
        assert monotonic() == pytest.approx(PATIENCE_SECONDS)


async def test_a_token_is_forgotten_when_its_key_is_withdrawn() -> None:
    async with _World().running() as world:
        token = sign()
        assert not await world.refuses(token)
        world.published = jwks(("RS256",))
        await asyncio.sleep(301)
        assert world.callers.find_known(token) is None
        assert await world.refuses(sign(exp=NOW + 7200))


async def test_an_issuer_that_is_no_longer_trusted_is_so_at_once() -> None:
    async with _World().running() as world:
        token = sign()
        assert not await world.refuses(token)
        world.judge.replace_all([])
        assert world.callers.find_known(token) is None
        assert await world.refuses(token)


async def test_a_refusal_is_forgotten_when_the_keys_are_others() -> None:
    world = _World()
    world.published = jwks(("ES256",), pairs={"ES256": ec.generate_private_key(ec.SECP256R1())})
    async with world.running():
        token = sign()
        assert await world.refuses(token)
        world.published = jwks()
        assert await world.refuses(sign(header={"kid": "unknown"}))  # which has the keys fetched
        assert not await world.refuses(token)


async def test_keys_of_issuers_that_come_and_go_are_fetched_as_long_as_they_are_there() -> None:
    async with _World().running() as world:
        assert not await world.refuses(sign())
        world.judge.replace_all([])
        before = len(world.fetches)
        await asyncio.sleep(3600)
        assert len(world.fetches) == before
        world.judge.replace_all([ISSUER])
        await asyncio.sleep(3600)
        assert len(world.fetches) == before + 12


async def test_no_token_is_kept_as_it_is() -> None:
    async with _World().running() as world:
        for token in (sign(), WRONG["forged"]):
            await world.refuses(token)
            assert token.rpartition(".")[2] not in repr(vars(world.judge))


async def test_only_so_many_tokens_are_remembered() -> None:
    async with _World().running() as world:
        first, second = sign(jti="1"), sign(jti="2")
        await world.identify(first)
        for number in range(MAX_REMEMBERED - 1):
            world.judge._taken[number.to_bytes(32)] = next(iter(world.judge._taken.values()))
        await world.identify(second)
        assert world.callers.find_known(first) is None
        assert world.callers.find_known(second) is not None


async def test_the_rate_of_a_rule_is_kept_by_all_tokens_of_one_subject() -> None:
    async with _World().running() as world:
        tokens = [sign(realm_access={"roles": ["books"]}, jti=str(number)) for number in range(6)]
        for token in tokens[:5]:
            world.callers.admit(await world.identify(token))
        limits = dict(world.callers.limits(await world.identify(tokens[5])))
        assert limits["RateLimit"].startswith('"default";r=0')

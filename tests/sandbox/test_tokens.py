"""Minting and losing tokens, over the wire."""

import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable

import pytest

from sandbox import Sandbox

Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]

GENERATE = "/v2/token/generate"
BALANCES = "/v2/assets/account/assets?merchantId=0"
NOW = 1_800_000_000.0


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def signed(now: float, secret: str = "sandbox-api-secret") -> str:
    timestamp = f"timestamp={int(now * 1000)}"
    signature = hmac.new(secret.encode(), timestamp.encode(), hashlib.sha256).hexdigest()
    return f"{GENERATE}?{timestamp}&signature={signature}"


async def minted(ask: Ask, sandbox: Sandbox, clock: Clock) -> dict[str, str]:
    status, _, body = await ask(sandbox.url, signed(clock.now), X_BH_APIKEY="sandbox-api-key")
    assert status == 200
    answer: dict[str, str] = json.loads(body)["data"]
    return answer


async def test_a_signed_call_mints_a_uuid_that_says_when_it_expires(ask: Ask) -> None:
    clock = Clock()
    async with Sandbox(clock=clock, token_lifetime_seconds=60) as sandbox:
        answer = await minted(ask, sandbox, clock)
    assert str(uuid.UUID(answer["token"])) == answer["token"]
    assert answer["expireTime"] == str(int((NOW + 60) * 1000))
    assert set(answer) == {"token", "expireTime"}


async def test_a_minted_token_is_good_until_the_millisecond_it_expires(ask: Ask) -> None:
    clock = Clock()
    async with Sandbox(clock=clock, token_lifetime_seconds=60) as sandbox:
        token = (await minted(ask, sandbox, clock))["token"]
        clock.now = NOW + 59.999
        good, _, _ = await ask(sandbox.url, BALANCES, X_BH_TOKEN=token)
        clock.now = NOW + 60
        expired, _, _ = await ask(sandbox.url, BALANCES, X_BH_TOKEN=token)
        static, _, _ = await ask(sandbox.url, BALANCES)
    assert (good, expired, static) == (200, 401, 200)


@pytest.mark.parametrize("voids", [True, False])
async def test_a_new_token_voids_the_one_before_only_where_that_is_chosen(ask: Ask, *, voids: bool) -> None:
    clock = Clock()
    async with Sandbox(clock=clock, new_token_voids_old=voids) as sandbox:
        first, second = [(await minted(ask, sandbox, clock))["token"] for _ in range(2)]
        statuses = [(await ask(sandbox.url, BALANCES, X_BH_TOKEN=token))[0] for token in (first, second)]
        static, _, _ = await ask(sandbox.url, BALANCES)
    assert first != second
    assert statuses == [401 if voids else 200, 200]
    assert static == 200


@pytest.mark.parametrize("seconds", [-300, 300])
async def test_a_timestamp_at_the_limit_of_five_minutes_is_taken(ask: Ask, seconds: int) -> None:
    async with Sandbox(clock=Clock()) as sandbox:
        status, _, _ = await ask(sandbox.url, signed(NOW + seconds), X_BH_APIKEY="sandbox-api-key")
    assert status == 200


@pytest.mark.parametrize(
    ("target", "key"),
    [
        (signed(NOW + 300.001), "sandbox-api-key"),
        (signed(NOW - 300.001), "sandbox-api-key"),
        (signed(NOW, "another-secret"), "sandbox-api-key"),
        (signed(NOW), "another-key"),
        (signed(NOW), ""),
        (signed(NOW)[:-1], "sandbox-api-key"),
        (f"{GENERATE}?timestamp={int(NOW * 1000)}&signature=%C3%A9", "sandbox-api-key"),
    ],
)
async def test_a_wrong_key_signature_or_time_is_401(ask: Ask, target: str, key: str) -> None:
    async with Sandbox(clock=Clock()) as sandbox:
        status, _, body = await ask(sandbox.url, target, X_BH_APIKEY=key)
    assert (status, json.loads(body)["data"]) == (401, None)


@pytest.mark.parametrize("query", ["", "?timestamp=1", "?signature=00", "?timestamp=x&signature=00"])
async def test_a_call_for_a_token_that_lacks_a_parameter_is_a_parameter_error(
    sandbox: Sandbox, ask: Ask, query: str
) -> None:
    _, _, body = await ask(sandbox.url, GENERATE + query, X_BH_APIKEY="sandbox-api-key")
    assert json.loads(body)["code"] == -4010


async def test_the_control_port_expires_every_token_and_a_new_one_can_be_minted(ask: Ask) -> None:
    clock = Clock()
    async with Sandbox(clock=clock) as sandbox:
        token = (await minted(ask, sandbox, clock))["token"]
        await ask(sandbox.control_url, "/token/expire", method="POST")
        statuses = [(await ask(sandbox.url, BALANCES, X_BH_TOKEN=one))[0] for one in ("sandbox-token", token)]
        again = (await minted(ask, sandbox, clock))["token"]
        renewed, _, _ = await ask(sandbox.url, BALANCES, X_BH_TOKEN=again)
    assert statuses == [401, 401]
    assert renewed == 200


async def test_the_control_port_sets_the_static_token_and_how_tokens_are_minted(ask: Ask) -> None:
    clock = Clock()
    async with Sandbox(clock=clock) as sandbox:
        change = {"token": "another", "lifetimeSeconds": 5, "newVoidsOld": True}
        await ask(sandbox.control_url, "/token", method="POST", body=change)
        statuses = [(await ask(sandbox.url, BALANCES, X_BH_TOKEN=one))[0] for one in ("sandbox-token", "another")]
        first = await minted(ask, sandbox, clock)
        await minted(ask, sandbox, clock)
        voided, _, _ = await ask(sandbox.url, BALANCES, X_BH_TOKEN=first["token"])
    assert statuses == [401, 200]
    assert first["expireTime"] == str(int((NOW + 5) * 1000))
    assert voided == 401


async def test_the_same_seed_mints_the_same_tokens(ask: Ask) -> None:
    tokens = []
    for _ in range(2):
        clock = Clock()
        async with Sandbox(seed=11, clock=clock) as sandbox:
            tokens.append(await minted(ask, sandbox, clock))
    assert tokens[0] == tokens[1]

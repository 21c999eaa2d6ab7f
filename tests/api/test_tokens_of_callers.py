"""Callers with a token of an issuer instead of a key."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from app.access.tokens.issuers import Source
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.errors import assert_envelope, assert_problem
from tests.support.service import Service, run_service
from tests.support.tokens import ALGORITHMS, ISSUER, URL, jwks, make_wrong, sign

OWN, FOREIGN, UNKNOWN = (f"/v1/merchants/{merchant}/balances" for merchant in (12345, 10001, 999999))
V2 = "/v2/assets/account/assets?merchantId=12345"
WRONG = make_wrong(time.time())


@pytest.fixture(scope="module")
async def trusting(
    valkey: EmbeddedValkey, plain: bool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """A service that trusts an issuer, whose keys are in a file, and slows nobody down for wrong tokens."""
    keys = tmp_path_factory.mktemp("keys") / "jwks.json"
    keys.write_bytes(jwks())
    issuer = msgspec.structs.replace(ISSUER, source=Source(URL, jwks_file=str(keys)))
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    async with (
        upstream,
        run_service(upstream, valkey.url, issuers=[issuer], wrong_keys_rate=1000) as running,
    ):
        yield running


async def ask(service: Service, token: str, path: str = OWN, header: str = "Authorization") -> httpx.Response:
    value = f"Bearer {token}" if header == "Authorization" else token
    return await service.anonymous.get(path, headers={header: value})


def make(algorithm: str = "ES256", **changed: Any) -> str:
    return sign(algorithm, now=time.time(), **{"sub": "reads-its-own", "merchants": [12345], **changed})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_is_as_good_as_a_key_cold_and_hot(trusting: Service, algorithm: str) -> None:
    token = make(algorithm)
    for _ in range(3):  # judged, then recalled by the way before the framework
        assert (await ask(trusting, token)).status_code == 200
    assert (await ask(trusting, token, V2, "X-BH-TOKEN")).status_code == 200


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_token_is_kept_out_with_a_reason_that_does_not_repeat_it(trusting: Service, what: str) -> None:
    for _ in range(2):
        response = await ask(trusting, WRONG[what])
        assert_problem(response, "unauthenticated")
        assert WRONG[what] not in response.text
    assert_envelope(await ask(trusting, WRONG[what], V2, "X-BH-TOKEN"), "unauthenticated")


async def test_a_token_reads_what_its_rule_allows_and_the_rest_looks_the_same_whether_it_exists(
    trusting: Service,
) -> None:
    token = make()
    assert (await ask(trusting, token)).status_code == 200
    foreign, unknown = [await ask(trusting, token, path) for path in (FOREIGN, UNKNOWN)]
    assert_problem(foreign, "forbidden")
    assert {**foreign.json(), "instance": "", "requestId": ""} == {**unknown.json(), "instance": "", "requestId": ""}
    assert_problem(await ask(trusting, token, "/v1/portfolio"), "forbidden")


async def test_a_token_for_which_there_is_no_rule_is_known_and_reads_nothing(trusting: Service) -> None:
    assert_problem(await ask(trusting, make(sub="somebody")), "forbidden")


async def test_the_rate_of_a_rule_holds_for_all_tokens_of_a_subject(trusting: Service) -> None:
    for number in range(5):
        token = make(sub="fast", realm_access={"roles": ["books"]}, jti=str(number))
        response = await ask(trusting, token)
        assert (response.status_code, "ratelimit" in response.headers) == (200, True)
    assert_problem(await ask(trusting, make(sub="fast", realm_access={"roles": ["books"]}, jti="x")), "too-fast")


async def test_a_token_shows_its_rights_and_its_end(trusting: Service) -> None:
    answer = (await ask(trusting, make(exp=1_900_000_000), "/v1/me")).json()
    assert (answer["source"], answer["merchants"], answer["portfolio"]) == ("token", [12345], False)
    assert answer["until"] == "2030-03-17T17:47:10.000Z"
    assert "until" not in (await ask(trusting, make(exp=1e300), "/v1/me")).json()


async def test_keys_go_on_working_beside_tokens(trusting: Service) -> None:
    assert (await trusting.get(OWN)).status_code == 200


async def test_many_wrong_tokens_are_slowed_down_before_a_signature_is_checked(
    valkey: EmbeddedValkey, upstream: Sandbox, tmp_path: Path
) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_bytes(jwks())
    issuer = msgspec.structs.replace(ISSUER, source=Source(URL, jwks_file=str(keys)))
    async with run_service(upstream, valkey.url, issuers=[issuer], wrong_keys_rate=0.1) as service:
        good = make()
        assert (await ask(service, good)).status_code == 200
        statuses = [(await ask(service, make(jti=str(number))[:-8] + "AAAAAAAA")).status_code for number in range(4)]
        assert statuses == [401, 429, 429, 429]
        assert (await ask(service, make(jti="new"))).status_code == 429  # though its signature is right
        assert (await ask(service, good)).status_code == 200  # it was judged before, and is slowed by nothing


async def test_while_the_keys_of_an_issuer_were_never_had_its_tokens_can_not_be_checked(
    valkey: EmbeddedValkey, upstream: Sandbox, tmp_path: Path
) -> None:
    issuer = msgspec.structs.replace(ISSUER, source=Source(URL, jwks_file=str(tmp_path / "not there")))
    async with run_service(upstream, valkey.url, issuers=[issuer]) as service:
        refused = await ask(service, make())
        assert_problem(refused, "issuer-unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await service.get(OWN)).status_code == 200
        assert (await service.anonymous.get("/health/ready")).status_code == 200

"""Who am I: the caller's own name, rights and limits, and keys that are not valid now."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from app.access.callers import Caller, hash_key
from app.access.validity import Validity
from app.balances.snapshots import AccountId
from app.redis.embedded import EmbeddedValkey
from app.settings.sections import Audited
from sandbox import Sandbox
from tests.support.errors import assert_not_storable, assert_problem
from tests.support.scrapes import scrape
from tests.support.service import Service, run_service

ME = "/v1/me"
TWO = frozenset({AccountId("12345"), AccountId("777")})
BRIEF = Caller("brief", hash_key("brief"), TWO, False, 2.5, 7, validity=Validity(until=1_900_000_000_000))
ENDED = Caller("ended", hash_key("ended"), "all", validity=Validity(until=1_700_000_000_000))
COMING = Caller("coming", hash_key("coming"), "all", validity=Validity(since=1_900_000_000_000))


@pytest.fixture(scope="module")
async def dated(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    more = [BRIEF, ENDED, COMING]
    async with upstream, run_service(upstream, valkey.url, more=more, audit=Audited.REFUSED) as running:
        yield running


async def test_a_caller_with_all_rights_sees_them(dated: Service) -> None:
    response = await dated.get(ME)
    assert response.json() == {
        "name": "all",
        "source": "key",
        "merchants": "all",
        "portfolio": True,
        "quota": {"concurrency": 1000},
    }
    assert response.headers["content-type"] == "application/json"
    assert_not_storable(response)


async def test_a_caller_sees_its_limits_and_the_end_of_its_key(dated: Service) -> None:
    response = await dated.anonymous.get(ME, headers={"X-BH-TOKEN": "brief"})
    assert response.json() == {
        "name": "brief",
        "source": "key",
        "merchants": [777, 12345],
        "portfolio": False,
        "quota": {"concurrency": 7, "rate": 2.5},
        "until": "2030-03-17T17:46:40.000Z",
    }
    assert "ratelimit" in response.headers


async def test_it_takes_no_parameter_and_no_other_method(dated: Service) -> None:
    assert_problem(await dated.get(f"{ME}?x=1"), "invalid-request")
    assert_problem(await dated.client.post(ME), "method-not-allowed")


@pytest.mark.parametrize("key", ["ended", "coming"])
@pytest.mark.parametrize("path", [ME, "/v1/merchants/12345/balances", "/v1/balances?merchantId=12345"])
async def test_a_key_that_is_not_valid_now_looks_like_an_unknown_one_but_to_the_operator(
    dated: Service, key: str, path: str
) -> None:
    answers = []
    for presented in (key, "unknown"):
        with capture_logs() as logs:
            response = await dated.anonymous.get(path, headers={"Authorization": f"Bearer {presented}"})
        assert_problem(response, "unauthenticated")
        audited = [line for line in logs if line["event"].startswith("audit.")]  # the service may have just begun
        answers.append((response.json()["detail"], [line.get("invalid_key_of") for line in audited]))
    assert answers == [(answers[0][0], [key]), (answers[0][0], [None])]


async def test_the_seconds_that_keys_have_left_can_be_scraped(dated: Service) -> None:
    seen = await scrape(dated.anonymous)
    assert seen.value("tallygate_key_seconds_left", client="ended") == 0
    assert seen.value("tallygate_key_seconds_left", client="brief") > 0

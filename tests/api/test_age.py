"""Promise 4: every answer tells its age and where it came from."""

import re

import pytest

from tests.support.seeded_redis import OLD_TOTAL, seconds_since, store
from tests.support.service import Service

PATH = "/v1/merchants/12345/balances"
PATHS = [PATH, f"{PATH}/BTC", "/v2/assets/account/assets?merchantId=12345"]


def total(text: str) -> str:
    found = re.search(r'"BTC","total":"([^"]*)"', text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", [*PATHS, "/v1/portfolio", f"{PATH}?assets=BTC"])
async def test_a_first_read_is_forwarded_and_stored_and_a_second_is_a_hit(service: Service, path: str) -> None:
    first, second = await service.get(path), await service.get(path)
    assert first.headers["cache-status"] == "tallygate; fwd=miss; stored; ttl=5"
    assert re.fullmatch(r"tallygate; hit; ttl=[45]; detail=memory", second.headers["cache-status"])
    assert first.headers["age"] == "0"
    assert first.content == second.content


@pytest.mark.parametrize("path", [*PATHS, "/v1/portfolio"])
async def test_every_balance_answer_has_the_headers_that_say_how_it_may_be_kept(calm: Service, path: str) -> None:
    headers = (await calm.get(path)).headers
    assert headers["cache-control"] == "private, max-age=5"
    by_format = set() if path.startswith("/v2/") else {"Accept"}
    assert {name.strip() for name in headers["vary"].split(",")} == by_format | {
        "Authorization",
        "X-BH-TOKEN",
        "Accept-Encoding",
    }
    assert re.fullmatch(r'W/"[0-9a-f]+"', headers["etag"])
    assert headers["age"].isdigit()
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("age_seconds", [0, 2, 4, 20, 29])
async def test_the_age_counts_from_when_the_upstream_answered_whichever_replica_stored_it(
    calm: Service, newcomer: int, path: str, age_seconds: float
) -> None:
    stored = await store(calm, newcomer, age_seconds=age_seconds)
    response = await calm.get(path.replace("12345", str(newcomer)))
    assert total(response.text) == OLD_TOTAL
    age = int(response.headers["age"])
    assert age_seconds <= age <= seconds_since(stored.as_of)
    assert response.headers["cache-status"] == f"tallygate; hit; ttl={5 - age}; detail=redis"


async def test_the_age_grows_by_no_tier(service: Service) -> None:
    stored = await store(service, 12345, age_seconds=3)
    for tier in ("redis", "memory", "memory"):
        response = await service.get(PATH)
        assert 3 <= int(response.headers["age"]) <= seconds_since(stored.as_of)
        assert response.headers["cache-status"].endswith(f"detail={tier}")
    assert service.upstream.counters.total == 0


async def test_a_stale_answer_is_given_at_once_and_refreshed_once_behind(service: Service) -> None:
    await store(service, 12345, age_seconds=20)
    with service.upstream.fault("hang"):
        for _ in range(5):
            assert total((await service.get(PATH)).text) == OLD_TOTAL
        await service.upstream.calls(1)
    refreshed = await service.get(PATH, cache_control="max-stale=0")
    assert total(refreshed.text) == "0.5"
    assert service.upstream.counters.by_merchant == {12345: 1}


async def test_an_answer_older_than_that_is_waited_for(service: Service) -> None:
    await store(service, 12345, age_seconds=36)
    response = await service.get(PATH)
    assert (total(response.text), response.headers["age"]) == ("0.5", "0")
    assert response.headers["cache-status"] == "tallygate; fwd=miss; stored; ttl=5"


async def test_an_answer_from_the_future_is_of_age_zero(service: Service) -> None:
    await store(service, 12345, age_seconds=-3600)
    response = await service.get(PATH)
    assert response.headers["age"] == "0"


@pytest.mark.parametrize("path", ["/health/live", "/docs", "/openapi.json", "/problems"])
async def test_what_is_no_balance_has_no_age(calm: Service, path: str) -> None:
    assert not {"age", "cache-status", "etag"} & set((await calm.get(path)).headers)

"""Which merchants there are: those that the caller may read, and no others."""

import pytest

from tests.support.service import Service


async def test_who_may_read_all_sees_the_directory_page_by_page(calm: Service) -> None:
    whole = (await calm.get("/v1/merchants?limit=1000")).json()["merchants"]
    ids = [merchant["merchantId"] for merchant in whole]
    assert ids == sorted(ids)
    assert 12345 in ids
    assert all(merchant["merchantName"] for merchant in whole)
    seen = []
    query = "limit=2"
    while query:
        page = (await calm.get(f"/v1/merchants?{query}")).json()
        seen += page["merchants"]
        query = f"limit=2&after={page['next']}" if "next" in page else ""
    assert seen == whole


async def test_who_may_read_some_sees_exactly_these_whether_they_exist_or_not(calm: Service) -> None:
    merchants = (await calm.get("/v1/merchants", "some")).json()["merchants"]
    assert [merchant["merchantId"] for merchant in merchants] == [777, 12345]
    assert "merchantName" not in merchants[0]
    assert "merchantName" in merchants[1]
    assert (await calm.get("/v1/merchants?search=10001", "some")).json()["merchants"] == []


async def test_one_searches_by_part_of_a_name_or_the_beginning_of_an_id(calm: Service) -> None:
    (found,) = (await calm.get("/v1/merchants?search=12345")).json()["merchants"]
    name = found["merchantName"]
    by_name = (await calm.get(f"/v1/merchants?search={name[1:].upper()}")).json()["merchants"]
    assert found in by_name
    assert (await calm.get("/v1/merchants?search=nobody-is-called-so")).json()["merchants"] == []


@pytest.mark.parametrize(
    "query", ["search=", "limit=0", "limit=1001", "after=x", "after=0", "x=1", "search=" + "a" * 65]
)
async def test_a_wrong_question_is_a_400(calm: Service, query: str) -> None:
    assert (await calm.get(f"/v1/merchants?{query}")).status_code == 400


async def test_an_unchanged_directory_is_a_304(calm: Service) -> None:
    etag = (await calm.get("/v1/merchants")).headers["etag"]
    assert (await calm.get("/v1/merchants", if_none_match=etag)).status_code == 304

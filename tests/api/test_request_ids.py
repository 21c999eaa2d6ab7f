"""Every answer has a request id: the caller's own where it can be logged, else a new one."""

import pytest

from tests.support.raw_asgi import ask_raw
from tests.support.service import Service

PATHS = ["/v1/portfolio", "/v2/assets/account/assets?merchantId=12345", "/health/live", "/docs", "/v1/portfolio?x=1"]
PATHS += ["/nothing", "/v2/nothing", "/v1/merchants/99999/balances", "/" + "a" * 9000]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_an_answer_of_any_kind_has_the_callers_request_id(calm: Service, path: str, method: str) -> None:
    response = await ask_raw(calm, path, method, [(b"x-request-id", b"a-1_B.~+/=")])
    assert response.headers.get_list("x-request-id") == ["a-1_B.~+/="]


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_without_an_id_is_given_one_of_its_own(calm: Service, path: str) -> None:
    ids = {(await calm.get(path)).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(given) >= 32 and given.isalnum() for given in ids)


@pytest.mark.parametrize("given", [b"a", b"a" * 128, b"0b8e7f0a-41c1-4f8e-9d6a-5d5f2e9d1c11", b"Root=1-67891233"])
async def test_an_id_that_can_be_logged_is_taken_over(calm: Service, given: bytes) -> None:
    response = await ask_raw(calm, "/nothing", headers=[(b"x-request-id", given)])
    assert response.headers["x-request-id"] == response.json()["requestId"] == given.decode()


@pytest.mark.parametrize(
    "given",
    [b"", b"a" * 129, b"a b", b'a"b', b"a\nb", b"a\n", b"a\r\nx: y", b"\xff", b"a\x00", b"{}", b"a;b", "ä".encode()],
)
async def test_an_id_that_cannot_be_logged_is_replaced(calm: Service, given: bytes) -> None:
    response = await ask_raw(calm, "/nothing", headers=[(b"x-request-id", given)])
    taken = response.headers["x-request-id"]
    assert taken.isalnum()
    assert len(taken) >= 32
    assert response.json()["requestId"] == taken

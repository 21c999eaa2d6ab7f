"""Answers by the bytes of a request: they are those of the parsed way, and there are none where that way would do more."""

from typing import Any

import httpx
import pytest

from app.access.callers import Caller, hash_key
from app.redis.embedded import EmbeddedValkey
from app.settings.sections import Audited
from sandbox import Sandbox
from tests.support.raw_asgi import app_of
from tests.support.service import KEYS, Service, run_service
from tests.support.wire_transport import Shared, exchange

PATH = "/v1/merchants/12345/balances"
PER_ANSWER = {"x-request-id", "date", "age", "cache-status"}


def write(path: str, *lines: str, method: str = "GET", key: str = KEYS["all"]) -> bytes:
    """Write a request."""
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {key}", *lines, "", ""]
    ).encode()


async def ask(service: Service, request: bytes) -> httpx.Response:
    """Ask over a connection."""
    answer = await exchange(Shared(app_of(service)), request.partition(b" ")[0].decode(), request)
    await answer.aread()
    return answer


def recalls(service: Service, request: bytes) -> bool:
    """Whether a request of these bytes would be answered without being parsed."""
    return app_of(service).recall(request) is not None


def lasting(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Leave out what differs from one answer to the next."""
    headers = {name: value for name, value in answer.headers.items() if name not in PER_ANSWER}
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize(
    "request_bytes",
    [
        write(PATH),
        write(PATH, method="HEAD"),
        write(PATH + "?assets=BTC", "Accept-Encoding: gzip", "User-Agent: x"),
        write(PATH, "If-None-Match: *"),
        write("/v2/assets/account/assets?merchantId=12345"),
    ],
)
async def test_a_recalled_answer_is_that_of_the_parsed_request(
    patient: Service, request_bytes: bytes, plain: bool
) -> None:
    first, second = await ask(patient, request_bytes), await ask(patient, request_bytes)
    assert recalls(patient, request_bytes) is not plain
    third = await ask(patient, request_bytes)
    assert first.status_code in {200, 304}
    assert lasting(first) == lasting(second) == lasting(third)
    assert third.headers["date"]
    assert len({answer.headers["x-request-id"] for answer in (first, second, third)}) == 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        write(PATH, "X-Request-Id: mine"),
        write(PATH, "Connection: close"),
        write(PATH, "Cache-Control: no-cache"),
        write(PATH, "Content-Length: 0"),
        write(PATH, "Prefer: wait=1"),
        write(PATH, key="wrong"),
        write(PATH).replace(b"HTTP/1.1", b"HTTP/1.0"),
        write("/v1/merchants/99999/balances"),
        write(PATH) + write(PATH),
    ],
)
async def test_what_depends_on_more_than_the_account_is_never_recalled(patient: Service, request_bytes: bytes) -> None:
    for _ in range(3):
        await ask(patient, request_bytes)
    assert not recalls(patient, request_bytes)


async def test_nothing_is_recalled_for_a_caller_that_is_gone(
    valkey: EmbeddedValkey, upstream: Sandbox, plain: bool
) -> None:
    async with run_service(upstream, valkey.url) as service:
        for _ in range(2):
            await ask(service, write(PATH))
        assert recalls(service, write(PATH)) is not plain
        if not plain:
            app_of(service)._hot_path._callers.replace_all([])
            assert (await ask(service, write(PATH))).status_code == 401
        assert not recalls(service, write(PATH))


async def test_nothing_is_recalled_while_draining_so_that_each_answer_ends_its_connection(
    valkey: EmbeddedValkey, upstream: Sandbox, plain: bool
) -> None:
    async with run_service(upstream, valkey.url) as service:
        for _ in range(2):
            await ask(service, write(PATH))
        assert recalls(service, write(PATH)) is not plain
        app_of(service)._drain.begin()
        assert not recalls(service, write(PATH))
        assert (await ask(service, write(PATH))).headers["connection"] == "close"


@pytest.mark.parametrize("changed", [{"audit": Audited.ALL}, {"cors_origins": frozenset({"https://a.example"})}])
async def test_nothing_is_recalled_where_each_answer_is_audited_or_depends_on_its_page(
    valkey: EmbeddedValkey, upstream: Sandbox, changed: dict[str, Any]
) -> None:
    async with run_service(upstream, valkey.url, **changed) as service:
        for _ in range(3):
            assert (await ask(service, write(PATH))).status_code == 200
        assert not recalls(service, write(PATH))


async def test_recalled_answers_count_against_the_rate_and_show_it(valkey: EmbeddedValkey, upstream: Sandbox) -> None:
    rated = Caller("rated", hash_key("rated"), "all", rate=2.0)
    async with run_service(upstream, valkey.url, more=[rated]) as service:
        answers = [await ask(service, write(PATH, key="rated")) for _ in range(60)]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert all("ratelimit" in answer.headers for answer in answers)

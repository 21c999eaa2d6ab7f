"""What the service does with requests that no well-behaved client sends."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import KEY, Gateway, run_gateway
from tests.support.raw_http import connect

PATH = "/v1/merchants/12345/balances"

_HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""How a client begins that speaks HTTP/2 unasked: the preface, and settings that are none."""


def request(target: str = PATH, *headers: str, method: str = "GET", key: str = KEY) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: tallygate", f"Authorization: Bearer {key}", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def assert_it_goes_on(gateway: Gateway) -> None:
    assert (await gateway.get(PATH)).status_code == 200
    assert gateway.process.returncode is None
    assert len(gateway.named("server.started")) == 1
    assert not gateway.named("request.crashed")


@pytest.mark.parametrize("size", [17 * 1024, 1024 * 1024])
async def test_headers_that_are_too_large_get_a_problem(gateway: Gateway, size: int) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(PATH, f"X-Large: {'x' * size}"))
        answer = await wire.answer()
    assert answer is not None
    status, headers, body = answer
    assert (status, headers["content-type"]) == (431, "application/problem+json")
    assert json.loads(body)["type"] == "/problems/headers-too-large"
    await assert_it_goes_on(gateway)


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        ("1.1", [], 400),
        ("1.1", ["Host:"], 400),
        ("1.1", ["Host: a"] * 2, 400),
        ("1.0", [], 200),
        ("1.0", ["Host: a"], 200),
    ],
)
async def test_http_1_1_needs_a_host_and_http_1_0_does_not(
    gateway: Gateway, version: str, hosts: list[str], status: int
) -> None:
    for path in (PATH, "/health/live"):
        async with connect(gateway.url) as wire:
            lines = [f"GET {path} HTTP/{version}", *hosts, f"Authorization: Bearer {KEY}", "Connection: close", "", ""]
            wire.send("\r\n".join(lines).encode())
            answer = await wire.answer()
        assert answer is not None
        assert answer[0] == status


async def test_headers_beyond_any_measure_do_not_harm_the_service(gateway: Gateway) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(PATH, f"X-Large: {'x' * (8 * 1024 * 1024)}"))
        answer = await wire.answer()
    assert answer is None or 400 <= answer[0] < 500
    await assert_it_goes_on(gateway)


QUIET = {
    "at_once": b"",
    "in_the_request_line": b"G",
    "in_the_headers": request()[:-10],
    "in_the_preface": b"PRI",
    "after_the_preface": _HTTP_2,
    "in_the_body": request("/v1/balances", "Content-Length: 100", "Content-Type: application/json", method="POST")
    + b"{",
    "after_an_answer": request(),
}
"""What clients send who then send nothing more, and do not hang up."""

Answers = list[tuple[int, dict[str, str], bytes]]


@pytest.fixture(scope="module")
async def told(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Answers]]:
    """What each of those was told before the connection was closed by a gateway that waits little, for all of them at once."""

    async def exchange(url: str, beginning: bytes) -> Answers:
        answers = []
        async with connect(url) as wire:
            wire.send(beginning)
            while (answer := await wire.answer()) is not None:
                answers.append(answer)
        return answers

    impatient: dict[str, Any] = {
        "redis_url": valkey.url,
        "upstream_timeout_seconds": 0.1,
        "request_timeout_seconds": 0.1,
    }
    async with run_gateway(shared_upstream, tmp_path_factory.mktemp("impatient"), **impatient) as gateway:
        answers = await asyncio.gather(*(exchange(gateway.url, beginning) for beginning in QUIET.values()))
        await assert_it_goes_on(gateway)
        yield dict(zip(QUIET, answers, strict=True))


async def test_a_body_that_does_not_come_ends_with_a_problem(told: dict[str, Answers]) -> None:
    [(status, headers, body)] = told["in_the_body"]
    assert (status, json.loads(body)["type"]) == (408, "/problems/body-too-slow")
    assert headers["connection"] == "close"


@pytest.mark.parametrize("where", [where for where in QUIET if where not in {"in_the_body", "after_an_answer"}])
async def test_headers_that_do_not_come_end_the_connection(told: dict[str, Answers], where: str) -> None:
    assert [status for status, _, _ in told[where]] == ([400] if where == "after_the_preface" else [])


async def test_a_connection_that_rests_is_closed(told: dict[str, Answers]) -> None:
    assert [status for status, _, _ in told["after_an_answer"]] == [200]


async def test_connections_beyond_the_bound_wait_until_another_one_ends(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with (
        run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, connections=1) as gateway,
        connect(gateway.url) as first,
        connect(gateway.url) as second,
    ):
        first.send(request())
        answer = await first.answer()
        assert answer is not None
        second.send(request())
        waiting = asyncio.create_task(second.answer())
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        first.close()
        answer = await waiting
        assert answer is not None
        assert answer[0] == 200


async def test_a_long_target_gets_a_problem(gateway: Gateway) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(f"/v1/portfolio?assets={'A' * 9000}"))
        answer = await wire.answer()
    assert answer is not None
    assert (answer[0], json.loads(answer[2])["type"]) == (414, "/problems/uri-too-long")


async def test_a_body_on_get_is_refused_and_never_read_as_a_request(gateway: Gateway) -> None:
    smuggled = request("/v1/portfolio")
    async with connect(gateway.url) as wire:
        wire.send(request(PATH, f"Content-Length: {len(smuggled)}") + smuggled + request("/health/live"))
        first = await wire.answer()
        assert first is not None
        assert (first[0], json.loads(first[2])["type"]) == (400, "/problems/invalid-request")
        second = await wire.answer()
    assert second is None or json.loads(second[2]) == {"status": "alive"}
    await assert_it_goes_on(gateway)


async def test_a_chunked_body_on_get_is_refused_too(gateway: Gateway) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(PATH, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n")
        answer = await wire.answer()
    assert answer is not None
    assert answer[0] == 400
    await assert_it_goes_on(gateway)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"\x00" * 4096,
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=range(12),
)
async def test_nonsense_never_gets_more_than_a_refusal(gateway: Gateway, nonsense: bytes) -> None:
    async with connect(gateway.url) as wire:
        wire.send(nonsense + b"\r\n\r\n")
        received = await wire.everything()
    assert not received.startswith(b"HTTP/") or received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert b"balances" not in received
    await assert_it_goes_on(gateway)


@pytest.mark.parametrize(
    "target",
    [
        "/v1/merchants/%ff/balances",
        "/v1/merchants/%00/balances",
        "/v1/merchants/12345%2f../balances",
        "/v1/merchants/%D9%A1/balances",
        "/v1/merchants/12345/balances/%ff",
        "/v1/merchants/12345/balances?assets=%ff",
        "*",
    ],
)
async def test_odd_targets_get_a_problem(gateway: Gateway, target: str) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(target))
        answer = await wire.answer()
    assert answer is not None
    assert 400 <= answer[0] < 500
    await assert_it_goes_on(gateway)


@pytest.mark.parametrize("target", ["/v1/nowhere", "/v1/merchants/007/balances", "/v2/nowhere"])
async def test_a_connection_stays_usable_after_a_refusal(gateway: Gateway, target: str) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(target))
        refused = await wire.answer()
        wire.send(request(PATH))
        answer = await wire.answer()
    assert refused is not None
    assert answer is not None
    assert (refused[0] // 100, answer[0]) == (4, 200)


async def test_head_leaves_the_connection_in_step(gateway: Gateway) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(PATH, method="HEAD") + request("/v1/nowhere", method="HEAD") + request("/health/live"))
        assert [(await wire.answer(method) or (0,))[0] for method in ("HEAD", "HEAD", "GET")] == [200, 404, 200]


async def test_an_answer_with_304_leaves_the_connection_in_step(gateway: Gateway) -> None:
    etag = (await gateway.get(PATH)).headers["etag"]
    async with connect(gateway.url) as wire:
        wire.send(request(PATH, f"If-None-Match: {etag}") + request("/health/live"))
        assert [(await wire.answer() or (0,))[0] for _ in range(2)] == [304, 200]


async def test_a_caller_that_hangs_up_harms_nobody(gateway: Gateway) -> None:
    for sent in (b"", b"GET", request()[:-2], request(), request() * 50):
        async with connect(gateway.url) as wire:
            wire.send(sent)
    await assert_it_goes_on(gateway)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "NONSENSE"])
async def test_other_methods_are_refused_with_those_that_there_are(gateway: Gateway, method: str) -> None:
    async with connect(gateway.url) as wire:
        wire.send(request(PATH, "Content-Length: 0", method=method))
        answer = await wire.answer()
    assert answer is not None
    assert answer[0] in {400, 405}
    assert answer[0] != 405 or {"GET", "HEAD"} <= set(answer[1]["allow"].replace(" ", "").split(","))
    await assert_it_goes_on(gateway)

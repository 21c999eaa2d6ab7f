"""How large a request may be, and what it may carry."""

import pytest
from structlog.testing import capture_logs

from app.api.middleware.edge import MAX_HEADER_BYTES, MAX_URI_BYTES
from app.ingress.connection import Connection
from tests.support.errors import assert_envelope, assert_problem
from tests.support.raw_asgi import HOST, KEY, app_of, ask_raw
from tests.support.service import Service
from tests.support.wire_transport import Recording, Shared

MERCHANT = "/v1/merchants/12345/balances"
V2 = "/v2/assets/account/assets"


@pytest.mark.parametrize(("spare", "accepted"), [(0, True), (-1, False), (-100_000, False)])
async def test_headers_may_have_so_many_bytes_and_no_more(calm: Service, *, spare: int, accepted: bool) -> None:
    size = MAX_HEADER_BYTES - spare - len(b"".join((*HOST, *KEY))) - len(b"x-filler")
    response = await ask_raw(calm, MERCHANT, headers=[(b"x-filler", b"a" * size)])
    if accepted:
        assert response.status_code == 200
    else:
        assert_problem(response, "headers-too-large", instance=MERCHANT)
        envelope = await ask_raw(calm, f"{V2}?merchantId=12345", headers=[(b"x-filler", b"a" * size)])
        assert_envelope(envelope, "headers-too-large")


async def test_many_small_headers_count_together(calm: Service) -> None:
    headers = [(f"x-{number}".encode(), b"a" * 100) for number in range(200)]
    assert_problem(await ask_raw(calm, MERCHANT, headers=headers), "headers-too-large")


@pytest.mark.parametrize(
    ("path", "query"), [(MERCHANT, "assets=" + "A" * 9000), ("/" + "a" * 9000, ""), ("/v1", "&" * 9000)]
)
async def test_a_uri_that_is_too_long_is_refused(calm: Service, path: str, query: str) -> None:
    assert_problem(await ask_raw(calm, f"{path}?{query}"), "uri-too-long")


async def test_a_uri_may_have_so_many_bytes_and_no_more(calm: Service) -> None:
    most = f"{MERCHANT}?{'&' * (MAX_URI_BYTES - len(MERCHANT))}"
    assert (await ask_raw(calm, most)).status_code == 200
    assert_problem(await ask_raw(calm, f"{most}&"), "uri-too-long")
    assert_envelope(await ask_raw(calm, f"{V2}?{'&' * MAX_URI_BYTES}"), "uri-too-long")


async def test_a_caller_that_leaves_within_a_body_gets_no_answer_and_is_no_fault(calm: Service) -> None:
    """It would be a 500 in the metrics, and a traceback in the log, that any caller could make."""
    shared = Shared(app_of(calm))
    before = (await calm.client.get("/metrics")).text.count("internal-error")
    with capture_logs() as logs:
        for end in (b"", b'{"merchantIds":'):
            wire, connection = Recording(), Connection(shared)
            connection.connection_made(wire)  # type: ignore[arg-type]
            lines = [b"POST /v1/balances HTTP/1.1", b"%b: %b" % HOST, b"%b: %b" % KEY, b"content-length: 50"]
            connection.data_received(b"\r\n".join([*lines, b"content-type: application/json", b"", end]))
            (running,) = shared.tasks
            connection.connection_lost(None)
            await running
            assert wire.written == b""
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert (await calm.client.get("/metrics")).text.count("internal-error") == before


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "header",
    [
        (b"content-length", b"5"),
        (b"content-length", b"05"),
        (b"content-length", b"-1"),
        (b"transfer-encoding", b"chunked"),
    ],
)
async def test_a_read_takes_no_body(calm: Service, method: str, header: tuple[bytes, bytes]) -> None:
    response = await ask_raw(calm, MERCHANT, method, [header, (b"accept", b"*/*")])
    assert response.status_code == 400
    if method == "GET":
        assert_problem(response, "invalid-request")


async def test_a_read_may_say_that_its_body_is_empty(calm: Service) -> None:
    assert (await ask_raw(calm, MERCHANT, headers=[(b"content-length", b"0")])).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [(b"accept", b"text/html")],
        [(b"accept", b"\xff;q=\xff")],
        [(b"accept-encoding", b"compress, identity;q=0")],
        [(b"content-type", b"\xff/;;=")],
        [(b"cookie", b"a=b; \xff; ;=")],
        [(b"if-none-match", b'"\xff')],
        [(b"if-modified-since", b"not a date")],
        [(b"range", b"bytes=0-0")],
        [(b"x-forwarded-for", b"' OR 1=1")],
    ],
)
async def test_headers_that_mean_nothing_here_change_nothing(calm: Service, headers: list[tuple[bytes, bytes]]) -> None:
    response = await ask_raw(calm, MERCHANT, headers=headers)
    assert response.status_code == 200
    assert "content-encoding" not in response.headers


async def test_a_body_may_have_so_many_bytes_and_no_more(calm: Service) -> None:
    for size, problem in ((64 * 1024, "invalid-request"), (64 * 1024 + 1, "body-too-large"), (10**7, "body-too-large")):
        assert_problem(await calm.client.post("/v1/balances", content=b" " * size), problem)

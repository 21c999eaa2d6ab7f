"""nginx in the engine: its own answers, what it says of callers, and how it is judged."""

import json
from socket import create_connection

import pytest

from tests.containers.demo import CLONE, compose, compose_status, eventually, gateways, get, restore, run, send
from tests.containers.watchers import HOST, KEY, PORT

pytestmark = pytest.mark.usefixtures("demo")

COLLECTED_BYTES = 1460
"""What nginx collects before it sends anything, where it does not pass each event on (`postpone_output`)."""

HEARTBEAT_BYTES = 350
"""What a heartbeat has at most, with its place in a chunked body."""


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + 12_000 * b"a" + b"\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + 20_000 * b"a" + b"\r\n\r\n", 431),
        (b"GET /" + 20_000 * b"a" + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST /v1/balances HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", 413),
    ],
)
def test_every_refusal_is_a_problem(text: bytes, status: int) -> None:
    head, problem = send(text)
    assert b"application/problem+json" in head
    assert problem["status"] == status
    assert head.split()[1] == str(status).encode()


def test_an_address_that_a_caller_claims_counts_for_nothing() -> None:
    claimed = "203.0.113.9"
    fields = [f"X-Forwarded-For: {claimed}", f"Forwarded: for={claimed}", f"X-Real-IP: {claimed}"]
    assert get("/v1/me", *fields, key="tg_nobody's")[1]["status"] == 401
    assert eventually(lambda: bool(_refused_addresses()))
    door = json.loads(run("docker", "network", "inspect", "tallygate-demo_door"))
    assert _refused_addresses() == {door[0]["IPAM"]["Config"][0]["Gateway"]}


def _refused_addresses() -> set[str]:
    lines = [line for gateway in gateways() for line in run("docker", "logs", gateway).splitlines()]
    refused = [json.loads(line) for line in lines if '"audit.refused"' in line]
    return {one["address"] for one in refused if "address" in one}


def test_without_any_gateway_a_problem_says_when_to_ask_again() -> None:
    compose("stop", "gateway")
    for method, body in (("GET", b""), ("POST", b"{}")):
        head, problem = send(
            f"{method} /v1/balances HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert (problem["type"], problem["status"], problem["retryAfter"]) == ("/problems/deadline-passed", 504, 1)
        assert b"\r\nretry-after: 1" in head
    restore()


def test_waiting_for_an_nginx_that_restarts_for_ever_fails() -> None:
    configured = CLONE / "deploy/nginx/gateways.conf"
    before = configured.read_text()
    configured.write_text(f"{before}\nnonsense;\n")
    start = ("up", "--detach", "--wait", "--no-deps", "--force-recreate", "nginx")
    assert compose_status(*start) != 0
    configured.write_text(before)
    assert compose_status(*start) == 0


def test_events_are_passed_on_and_not_collected() -> None:
    request = f"GET /v1/watch?merchantId=12345 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    read = b""
    with create_connection((HOST, PORT), 100) as wire:
        wire.sendall(f"{request}Accept: application/jsonl\r\n\r\n".encode())
        while b'{"event":"synced"' not in read:
            read += wire.recv(65536)
    assert read.count(b'{"event":"heartbeat"') < 2  # nginx that collects sends the first events with those
    assert len(read) + HEARTBEAT_BYTES < COLLECTED_BYTES  # or the first one would already fill what nginx collects

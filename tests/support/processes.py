"""Programs seen from outside: run one to its end, find the processes of another, wait until they are gone."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.fork_server import fork
from tests.support.gateway import PATIENCE_SECONDS


@dataclass(frozen=True)
class Finished:
    """What a program left behind."""

    status: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        """All that it wrote."""
        return self.output + self.errors


async def run(environment: Mapping[str, str], *command: str, folder: Path | None = None) -> Finished:
    """Run `tallygate` to its end, in a folder."""
    process = await fork(environment, *command, folder=folder)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, errors = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, output.decode(), errors.decode())


@dataclass(frozen=True)
class Sighting:
    """A process that was seen, and a handle by which its end is noticed, whichever process is its parent."""

    pid: int
    command: str
    handle: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Look at a process. Raises `OSError` if it is gone."""
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return cls(pid, command, os.pidfd_open(pid))

    async def gone(self) -> None:
        """Wait until the process has ended."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self.handle, _end, ended)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await ended
        finally:
            loop.remove_reader(self.handle)
            os.close(self.handle)


def processes_of(folder: Path) -> list[Sighting]:
    """Find the processes that a folder has to do with: it is named by their environment or command line, or they are in it."""
    return [Sighting.of(pid) for pid in _pids() if str(folder).encode() in _words_of(pid)]


async def all_gone(sightings: Iterable[Sighting]) -> None:
    """Wait until all of these have ended."""
    await asyncio.gather(*(sighting.gone() for sighting in sightings))


def left_in(folder: Path) -> list[str]:
    """Name everything in a folder, however deep."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*")]


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _pids() -> list[int]:
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != os.getpid()
    ]


def _words_of(pid: int) -> bytes:
    try:
        named = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        return named + str(Path(f"/proc/{pid}/cwd").readlink()).encode()
    except OSError:
        return b""

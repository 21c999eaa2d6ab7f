"""Metrics samples of all processes of a service, as files in one folder, so that any process can report them all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from app.telemetry.samples import MetricsSample

_SUFFIX: Final = ".reading"

log = structlog.get_logger()


class MultiprocessStore:
    """Share samples through `folder`, which only our processes write to. `lives` returns whether a process does."""

    def __init__(self, folder: Path, lives: Callable[[int], bool]) -> None:
        self._folder: Final = folder
        self._lives: Final = lives
        self._own: Final = folder / f"{os.getpid()}{_SUFFIX}"
        self._decoder: Final = msgspec.msgpack.Decoder(MetricsSample)
        self._unwritable = False

    def adopt_dead(self) -> MetricsSample | None:
        """Take over the sample of a process that died, so that its counts continue; None if there is none."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if not self._lives(_pid(path)):
                try:
                    path.rename(self._own)  # one of several newcomers gets it
                except FileNotFoundError:
                    continue
                return self._read(self._own)
        return None

    def put(self, reading: MetricsSample) -> None:
        """Write the sample of this process. An unwritable folder is logged once."""
        fresh = self._own.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.msgpack.encode(reading))
            fresh.rename(self._own)
        except OSError as error:
            if not self._unwritable:
                log.warning("metrics.unwritable", error=error.strerror)
            self._unwritable = True

    def others(self) -> dict[int, MetricsSample]:
        """Return the last samples of the other processes; of those that died, only their counts."""
        while True:
            paths = [path for path in self._folder.glob(f"*{_SUFFIX}") if path != self._own]
            try:
                return {_pid(path): self._read_other(path) for path in paths}
            except FileNotFoundError:
                continue  # it was adopted meanwhile, and will be found under its new name

    def _read_other(self, path: Path) -> MetricsSample:
        reading = self._read(path)
        return reading if self._lives(_pid(path)) else MetricsSample(reading.counts, reading.series, {})

    def _read(self, path: Path) -> MetricsSample:
        return self._decoder.decode(path.read_bytes())


def lives(pid: int) -> bool:
    """Return whether a process of ours runs."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # the id may belong to another user's process by now
        return False
    return True


def _pid(path: Path) -> int:
    return int(path.stem)

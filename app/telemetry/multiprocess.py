"""Metrics samples of all processes of a service, as files in one folder, so that any process can report them all."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from app.decoding import MsgpackDecoder, Undecodable
from app.telemetry.samples import MetricsSample

_SUFFIX: Final = ".reading"
_PID: Final = re.compile(r"[1-9][0-9]{0,8}")

log = structlog.get_logger()


class MultiprocessStore:
    """Share samples through `folder`, which only our processes write to. `lives` returns whether a process does.

    A file that is no sample is logged once, and counts as none.
    """

    def __init__(self, folder: Path, lives: Callable[[int], bool]) -> None:
        self._folder: Final = folder
        self._lives: Final = lives
        self._own: Final = folder / f"{os.getpid()}{_SUFFIX}"
        self._decoder: Final = MsgpackDecoder(MetricsSample)
        self._unwritable = False
        self._unreadable = False

    def adopt_dead(self) -> MetricsSample | None:
        """Take over the sample of a process that died, so that its counts continue; None if there is none."""
        for path in self._paths():
            if not self._lives(int(path.stem)):
                try:
                    path.rename(self._own)  # one of several newcomers gets it
                    reading = self._read(self._own)
                except OSError:
                    continue
                if reading is not None:
                    return reading
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
            others = [path for path in self._paths() if path != self._own]
            try:
                found = {int(path.stem): self._read_other(path) for path in others}
            except FileNotFoundError:
                continue  # it was adopted meanwhile, and will be found under its new name
            return {pid: reading for pid, reading in found.items() if reading is not None}

    def _read_other(self, path: Path) -> MetricsSample | None:
        reading = self._read(path)
        if reading is None or self._lives(int(path.stem)):
            return reading
        return MetricsSample(reading.counts, reading.series, {})

    def _paths(self) -> list[Path]:
        return [path for path in self._folder.glob(f"*{_SUFFIX}") if _PID.fullmatch(path.stem) and _is_file(path)]

    def _read(self, path: Path) -> MetricsSample | None:
        """Read a sample; None if it is unreadable. Raises `FileNotFoundError`."""
        try:
            return self._decoder.decode(path.read_bytes())
        except FileNotFoundError:
            raise
        except (OSError, Undecodable) as error:
            if not self._unreadable:
                log.warning("metrics.unreadable", file=path.name, reason=str(error))
            self._unreadable = True
            return None


def _is_file(path: Path) -> bool:
    """Say whether it is a regular file: a folder cannot be replaced by a sample, and a pipe would block its reader."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def lives(pid: int) -> bool:
    """Return whether a process of ours runs."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # the id may belong to another user's process by now
        return False
    return True

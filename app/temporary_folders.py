"""Temporary folders: private ones with an owner, and the removal of those whose owner was killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.errors import StartError

_PREFIX: Final = "tallygate-"
_LOCK: Final = "owner.lock"
_NEW_LOCK: Final = "owner.new"


class TemporaryFolder:
    """Own a private folder while the context lasts. Raises `StartError` if none can be made.

    An exclusive lock marks the owner: this process, and those that it forks. It ends with the last of them.
    """

    def __init__(self) -> None:
        parent = find_temporary_parent()
        try:
            self.path: Final = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock: Final = _lock_new(self.path)
        except OSError as error:
            raise StartError(f"No folder can be made in {parent} ({error.strerror}): set another TMPDIR.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder with its content. May be repeated."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def find_temporary_parent() -> str:
    """Return the folder for temporary ones. Raises `StartError` if none is writable."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        raise StartError("No temporary folder can be written to: set TMPDIR to one that can.") from None


def remove_abandoned_folders() -> int:
    """Remove folders of this user whose owner was killed, and return how many. Those without a lock stay.

    A lock has its name only while somebody holds it, so that a folder being made is never taken for abandoned.
    """
    removed = 0
    with suppress(OSError):
        for path in Path(find_temporary_parent()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                removed += _remove_if_abandoned(path)
    return removed


def _remove_if_abandoned(path: Path) -> bool:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return False
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)  # follows no link
    finally:
        os.close(lock)
    return not path.exists()


def _lock_new(path: Path) -> int:
    lock = os.open(path / _NEW_LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (path / _NEW_LOCK).rename(path / _LOCK)
    return lock

"""Standard streams of a command: descriptors that exist, and output that may fail without a traceback."""

import os
import sys
from collections.abc import Callable

from app.errors import StartError


def open_missing_streams() -> None:
    """Open the null device for each standard stream that is closed: a socket would get its number, and our output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives the lowest free number, which is this one


def print_output(text: str) -> None:
    """Print to standard output, completely. Raises `StartError` if that fails."""
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as error:
        _discard(sys.stdout.fileno())
        raise StartError(f"Standard output cannot be written ({error.strerror}).") from None


def write_output(line: bytes) -> None:
    """Write to standard output, which may keep it until `flush_output`.

    Raises `BrokenPipeError` if nobody reads it any more, and `StartError` if it cannot be written.
    """
    _try_output(lambda: sys.stdout.buffer.write(line))


def flush_output() -> None:
    """Write what standard output has kept. Raises as `write_output`."""
    _try_output(sys.stdout.buffer.flush)


def print_error(text: str) -> None:
    """Print to standard error, if that is possible."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        _discard(sys.stderr.fileno())


def _try_output(write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        _discard(sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise StartError(f"Standard output cannot be written ({error.strerror}).") from None


def _discard(number: int) -> None:
    """Let the interpreter discard what it has buffered, which would make it fail again at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)

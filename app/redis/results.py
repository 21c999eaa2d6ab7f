"""Results of commands, read strictly. Each reader raises `WrongShape` for what the command does not return."""

from collections.abc import Callable
from typing import Any, Final, NoReturn

_MAX_ACTIVE: Final = 10_000
_MAX_WAIT_US: Final = 86_400_000_000


class WrongShape(Exception):
    """A result that the command does not return: another program answers, or for another command."""


Permits = tuple[int, int, int]
"""What `TAKE_PERMITS` returns: permits granted, microseconds until the next one, and active replicas, or 0."""


def read_integer(result: Any) -> int:
    """Read an integer."""
    if type(result) is not int:
        _refuse()
    return result


def read_bytes(result: Any) -> bytes:
    """Read a string of bytes."""
    if not isinstance(result, bytes):
        _refuse()
    return result


def values_reader(count: int) -> Callable[[Any], list[bytes | None]]:
    """Make a reader of so many values, each of which may be missing."""

    def read(result: Any) -> list[bytes | None]:
        if not isinstance(result, list) or len(result) != count:
            _refuse()
        if not all(value is None or isinstance(value, bytes) for value in result):
            _refuse()
        return result

    return read


def read_permits(result: Any, wanted: int) -> Permits:
    """Read the result of `TAKE_PERMITS` for so many permits."""
    if not isinstance(result, list) or len(result) != 3:  # noqa: PLR2004
        _refuse()
    granted, wait_us, active = result
    if not type(granted) is type(wait_us) is type(active) is int:
        _refuse()
    if not (0 <= granted <= wanted and 0 <= wait_us <= _MAX_WAIT_US and 0 <= active <= _MAX_ACTIVE):
        _refuse()
    return granted, wait_us, active


def read_lease(result: Any) -> tuple[bytes | None, int, Permits | None]:
    """Read the result of `READ_OR_LEASE`, or of `READ_OR_LEASE_WITH_PERMIT`: entry, lease, permit."""
    if not isinstance(result, list) or len(result) < 2:  # noqa: PLR2004
        _refuse()
    value, lease_ms, *permit = result
    if (value is not None and not isinstance(value, bytes)) or type(lease_ms) is not int or lease_ms < -1:
        _refuse()
    if lease_ms == -1 and value is None:
        _refuse()
    return value, lease_ms, read_permits(permit, 1) if permit else None


def read_flag(result: Any) -> bool:
    """Read a 1 or a 0."""
    if type(result) is not int or not 0 <= result <= 1:
        _refuse()
    return result == 1


def _refuse() -> NoReturn:
    raise WrongShape

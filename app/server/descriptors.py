"""File descriptors: the soft limit is raised as far as needed, or the connections of callers are bounded to fit."""

import resource
import sys
from contextlib import suppress
from typing import Final

from msgspec import Struct

from app.errors import StartError
from app.redis.connections import MAX_CONCURRENT_COMMANDS
from app.settings.sections import Settings

_KEPT_UPSTREAM_CONNECTIONS: Final = 256
_OTHERS: Final = 64
"""Files, pipes, the listening socket, the event loop, name servers, and connections to Redis that are not commands."""

_MIN_LIMIT: Final = 96


class DescriptorPlan(Struct, frozen=True):
    """What a worker needs at most, what it may open, and the connections of callers that leave enough for the rest."""

    needed: int
    limit: int
    connections: int


def plan_descriptors(settings: Settings, *, raises: bool = False) -> DescriptorPlan:
    """Plan the descriptors of a worker; with `raises`, raise the soft limit of this process and of those it forks.

    Raises `StartError` if even the hard limit is too low to start.
    """
    rest = _KEPT_UPSTREAM_CONNECTIONS + settings.upstream.concurrency + MAX_CONCURRENT_COMMANDS + _OTHERS
    needed = settings.http.connections + rest
    limit = _raise_limit(needed) if raises else _possible_limit(needed)
    if limit < _MIN_LIMIT:
        raise StartError(
            f"A process may open only {limit} files: raise the limit (`ulimit -n`), at least to {_MIN_LIMIT}."
        )
    # Few kept connections are enough to call the upstream: callers get half of a small limit.
    spare = limit - min(rest, limit // 2)
    return DescriptorPlan(needed, limit, min(settings.http.connections, spare))


def _possible_limit(needed: int) -> int:
    soft, hard = map(_as_number, resource.getrlimit(resource.RLIMIT_NOFILE))
    return max(soft, min(hard, needed))


def _raise_limit(needed: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = _possible_limit(needed)
    if possible > _as_number(soft):
        with suppress(OSError, ValueError):  # a sandbox, or another limit of the system, may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    return _as_number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _as_number(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit

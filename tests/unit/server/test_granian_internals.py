"""granian's private names: all are there, and each that is not is named before anything rests on it."""

from types import SimpleNamespace
from typing import Any

import pytest
from granian.server import mp

from app.server.granian_internals import missing_names


class Gone:
    """A name that an update took away."""

    def __get__(self, *_: object) -> None:
        raise AttributeError

    def __set__(self, *_: object) -> None:
        """Keep nothing."""


def without(name: str) -> Any:
    """Give granian's module without a name of its server or of its workers."""
    server: Any = type("Server", (mp.MPServer,), {name: Gone()})
    worker: Any = type("Worker", (mp.WorkerProcess,), {name: Gone()})
    return SimpleNamespace(**{**vars(mp), "MPServer": server, "WorkerProcess": worker})


def wrap_otherwise(_: object) -> object:
    async def steps(_: object) -> None: ...

    return steps


def test_this_version_has_them_all() -> None:
    assert missing_names() == []


@pytest.mark.parametrize(
    "name", ["_respawn_workers", "_stop_workers", "wrks", "signal_handler_interrupt", "inner", "interrupt_by_parent"]
)
def test_a_name_that_is_gone_is_named(name: str) -> None:
    assert missing_names(without(name)) == [name]


@pytest.mark.parametrize("changed", [{"_future_watcher_wrapper": wrap_otherwise}, {"_future_watcher_wrapper": None}])
def test_another_name_of_a_requests_coroutine_is_seen(changed: dict[str, object]) -> None:
    assert missing_names(SimpleNamespace(**{**vars(mp), **changed})) == ["future_watcher"]


def test_workers_that_are_made_otherwise_have_none_of_the_names() -> None:
    class Worker:
        def __init__(self) -> None: ...

    assert missing_names(SimpleNamespace(**{**vars(mp), "WorkerProcess": Worker})) == ["inner", "interrupt_by_parent"]

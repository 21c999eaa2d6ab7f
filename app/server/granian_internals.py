"""granian's private names: all that `app/server` uses, written for `granian>=2.8.7,<2.9`, and a check that they exist."""

from contextlib import suppress
from typing import Any, Final

from granian.server import mp

REQUEST_COROUTINE: Final = "future_watcher"
"""The coroutine that granian makes of a request. Under another name, each request gets its task first."""

_SERVER_NAMES: Final = ("_respawn_workers", "_stop_workers", "wrks", "signal_handler_interrupt")
_WORKER_NAMES: Final = ("inner", "interrupt_by_parent")


def missing_names(granian: Any = mp) -> list[str]:
    """Give the names that `granian`, its multiprocess server's module, lacks. It starts nothing."""
    server = granian.MPServer("tallygate")
    worker = None
    with suppress(TypeError):
        worker = granian.WorkerProcess(server, 0, print, ())
    wrap = getattr(granian, "_future_watcher_wrapper", None)
    coroutine = getattr(wrap(None), "__name__", None) if wrap else None
    missing = [name for name in _SERVER_NAMES if not hasattr(server, name)]
    missing += [name for name in _WORKER_NAMES if not hasattr(worker, name)]
    return missing if coroutine == REQUEST_COROUTINE else [*missing, REQUEST_COROUTINE]

"""granian's worker processes: started, replaced when they die, and each with the service in it."""

import asyncio
import math
import multiprocessing
import os
import shutil
import signal
import threading
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import mp

from app.access.clients_file import read_clients
from app.api.middleware.eager_start import start_requests_eagerly
from app.api.middleware.edge import Edge
from app.main import create_app, make_deadline
from app.resilience.draining import Drain
from app.server.admin_port import AdminServer
from app.server.granian_internals import REQUEST_COROUTINE, missing_names
from app.server.health_probes import admin_pages
from app.server.scheduling import schedule_as_batch, tune_garbage_collection
from app.server.shutdown import END_DRAIN, handle_signals_in_parent, handle_signals_in_worker
from app.settings.environment import read_settings
from app.settings.sections import Settings
from app.telemetry.exposition import Exposition
from app.telemetry.logs import configure_logs
from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore, lives

# The server refuses larger header sections with a bare 431; up to here, the edge does so with a problem.
_HEADER_BUFFER_BYTES: Final = 2 * 1024 * 1024
_FINISH_SECONDS: Final = 5
"""What a worker may take to end after the longest request could have been answered."""

_QUIET: Final[dict[str, Any]] = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}

log = structlog.get_logger()


def run_workers(settings: Settings, folder: Path, granian: Any = mp) -> None:
    """Serve until a signal ends it, with `folder` for what the processes share.

    Where `granian`, the module of its multiprocess server, lacks a private name, its own server and signal handling
    are used: no dead worker is reported, and a second signal does not cut the workers off.
    """
    if missing := missing_names(granian):
        log.warning("library.internals_missing", library="granian", names=missing)
    is_known = set(missing) <= {REQUEST_COROUTINE}
    server = (_ReportingServer if is_known else granian.MPServer)("tallygate", **_server_options(settings))
    exposition = _expose(folder)
    exposition.share()
    if is_known:
        server.exposition = exposition
        server.on_startup(lambda: handle_signals_in_parent(server))
    if (port := settings.telemetry.metrics_port) is not None:
        # Its thread starts after the signals are blocked, so that it gets none.
        pages = admin_pages(exposition, settings.process.workers, time.monotonic)
        server.on_startup(lambda: AdminServer(settings.http.host, port, pages).open())
    server.serve(target_loader=partial(load_app, folder), wrap_loader=False)


def load_app(folder: Path) -> Edge:
    """Build the service in a worker process. That ends when its parent does, and then removes their `folder`."""
    settings = read_settings(os.environ)
    if not settings.process.plain:
        schedule_as_batch()
    _follow_parent(folder)
    configure_logs(settings.telemetry.log_format, settings.telemetry.log_level)
    drain, loop = Drain(), asyncio.get_event_loop()
    handle_signals_in_worker(loop, drain, settings.process.drain_seconds)
    if not settings.process.plain:
        start_requests_eagerly(loop, REQUEST_COROUTINE)
    app = create_app(settings, read_clients(settings.access.clients_file), exposition=_expose(folder), drain=drain)
    tune_garbage_collection()
    return app


class _ReportingServer(mp.MPServer):
    """A server that reports the workers that died."""

    exposition: Exposition

    def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
        for number in workers:
            process = self.wrks[number].inner
            if not process.is_alive():
                log.error("worker.died", worker=number + 1, pid=process.pid, status=process.exitcode)
                self.exposition.metrics.worker_restarts.add()
        self.exposition.share()
        super()._respawn_workers(workers, *arguments, **options)


def _server_options(settings: Settings) -> dict[str, Any]:
    longest_seconds = settings.process.drain_seconds + settings.upstream.timeout_seconds
    return {
        "address": settings.http.host,
        "port": settings.http.port,
        "interface": Interfaces.ASGI,
        "http": HTTPModes.http1,  # with HTTP/2 allowed, connections have no deadline, not even before they choose it
        "workers": settings.process.workers,
        "websockets": False,
        "respawn_failed_workers": True,
        "workers_kill_timeout": math.ceil(longest_seconds) + _FINISH_SECONDS,
        "backpressure": settings.http.connections,
        "http1_settings": HTTP1Settings(
            header_read_timeout=round(1000 * make_deadline(settings)), max_buffer_size=_HEADER_BUFFER_BYTES
        ),
        "log_level": LogLevels.warning,
        "log_dictconfig": _QUIET,
    }


def _expose(folder: Path) -> Exposition:
    return Exposition(Metrics(version("tallygate")), MultiprocessStore(folder, lives))


def _follow_parent(folder: Path) -> None:
    """End this process when its parent is gone, even killed, and remove the folder that the parent could not."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        shutil.rmtree(folder, ignore_errors=True)
        for number in (END_DRAIN, signal.SIGTERM):
            os.kill(os.getpid(), number)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()

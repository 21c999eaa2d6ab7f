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
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
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
from app.server.addresses import resolve
from app.server.admin_port import AdminServer
from app.server.descriptors import plan_descriptors
from app.server.granian_internals import REQUEST_COROUTINE, missing_names
from app.server.health_probes import admin_pages
from app.server.hung_workers import replace_hung_workers
from app.server.lingering_connections import LingeringConnections
from app.server.scheduling import schedule_as_batch, tune_garbage_collection
from app.server.shutdown import END_DRAIN, handle_signals_in_parent, handle_signals_in_worker
from app.server.stalled_readers import bound_stalls, cut_connections
from app.settings.environment import read_settings
from app.settings.sections import Settings
from app.telemetry.exposition import Exposition
from app.telemetry.log_writer import LogWriter
from app.telemetry.logs import configure_logs, print_to_log
from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore, lives

# The server refuses larger header sections with a bare 431; up to here, the edge does so with a problem.
_HEADER_BUFFER_BYTES: Final = 2 * 1024 * 1024
_FINISH_SECONDS: Final = 5
"""What a worker may take to end after the longest request could have been answered."""

_SEND_SECONDS: Final = 3
"""What of that may pass until the last answer was read."""

_LOOK_AT_PARENT_SECONDS: Final = 1.0
_STATUS_SECONDS: Final = 1.0
_STATUS_PAUSE_SECONDS: Final = 0.001

_QUIET: Final[dict[str, Any]] = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}

log = structlog.get_logger()


def run_workers(settings: Settings, folder: Path, logs: LogWriter, granian: Any = mp) -> None:
    """Serve until a signal ends it, with `folder` for what the processes share, and `logs` of this process.

    Where `granian`, the module of its multiprocess server, lacks a private name, its own server and signal handling
    are used: no dead worker is reported, and a second signal does not cut the workers off.
    """
    if missing := missing_names(granian):
        log.warning("library.internals_missing", library="granian", names=missing)
    is_known = set(missing) <= {REQUEST_COROUTINE}
    server = (_ReportingServer if is_known else granian.MPServer)(
        "tallygate", **_server_options(settings, _bound_connections(settings))
    )
    exposition = _expose(folder)
    _count_lost_lines(logs, exposition)
    exposition.share()
    if is_known:
        server.exposition = exposition
        server.on_startup(lambda: handle_signals_in_parent(server))
        # Its thread starts after the signals are blocked, so that it gets none.
        server.on_startup(lambda: replace_hung_workers(lambda: server.wrks, exposition.heard))
    if (port := settings.telemetry.metrics_port) is not None:
        pages = admin_pages(exposition, settings.process.workers, time.monotonic)
        server.on_startup(lambda: AdminServer(settings.http.host, port, pages).open())
    server.serve(target_loader=partial(load_app, folder), wrap_loader=False)


def load_app(folder: Path) -> Edge:
    """Build the service in a worker process. That ends when its parent does, and then removes their `folder`."""
    settings = read_settings(os.environ)
    if not settings.process.plain:
        schedule_as_batch()
    _follow_parent(folder, _stop_seconds(settings))
    logs = configure_logs(settings.telemetry.log_format, settings.telemetry.log_level)
    print_to_log(logs)
    drain, loop, exposition = Drain(), asyncio.get_event_loop(), _expose(folder)
    _count_lost_lines(logs, exposition)
    lingering = LingeringConnections(
        loop,
        settings.http.port,
        lambda: exposition.metrics.under_way,
        settings.upstream.timeout_seconds + _SEND_SECONDS,
    )
    handle_signals_in_worker(loop, drain, settings.process.drain_seconds, lingering.begin_closing)
    if not settings.process.plain:
        start_requests_eagerly(loop, REQUEST_COROUTINE)
    bound_stalls(loop, settings.http.port)
    app = create_app(
        settings,
        read_clients(settings.access.clients_file),
        exposition=exposition,
        drain=drain,
        cut=partial(cut_connections, settings.http.port),
    )
    tune_garbage_collection()
    return app


class _ReportingServer(mp.MPServer):
    """A server that reports the workers that died."""

    exposition: Exposition
    workers_kill_timeout: Any

    def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
        for number in workers:
            process = self.wrks[number].inner
            if not process.is_alive():
                log.error("worker.died", worker=number + 1, pid=process.pid, status=process.exitcode)
                self.exposition.metrics.worker_restarts.add()
        self.exposition.share()
        super()._respawn_workers(workers, *arguments, **options)

    def _stop_workers(self) -> None:
        """Stop the workers, and wait until each end is known.

        granian joins a process in two threads (2.8.7). The one that does not get its status takes it for alive, and
        kills it a millisecond later.
        """
        until = time.monotonic() + self.workers_kill_timeout
        for worker in self.wrks:
            worker.interrupt_by_parent = True
            worker.inner.terminate()
        for worker in self.wrks:
            if wait([worker.inner.sentinel], max(0.0, until - time.monotonic())):
                _await_status(worker.inner)
        self.workers_kill_timeout = max(_STATUS_SECONDS, until - time.monotonic())
        super()._stop_workers()  # type: ignore[no-untyped-call]


def _await_status(process: BaseProcess) -> None:
    """Wait until this process knows the exit status of one that has ended, whichever thread asked the system for it."""
    until = time.monotonic() + _STATUS_SECONDS
    while process.exitcode is None and time.monotonic() < until:
        time.sleep(_STATUS_PAUSE_SECONDS)


def _bound_connections(settings: Settings) -> int:
    """Return how many connections of callers a worker accepts, so that it never runs out of descriptors."""
    plan = plan_descriptors(settings, raises=True)
    if plan.connections < settings.http.connections:
        log.warning("descriptors.few", limit=plan.limit, needed=plan.needed, connections=plan.connections)
    return plan.connections


def _server_options(settings: Settings, connections: int) -> dict[str, Any]:
    return {
        "address": resolve(settings.http.host, settings.http.port).host,
        "port": settings.http.port,
        "interface": Interfaces.ASGI,
        "http": HTTPModes.http1,  # with HTTP/2 allowed, connections have no deadline, not even before they choose it
        "workers": settings.process.workers,
        "websockets": False,
        "respawn_failed_workers": True,
        "workers_kill_timeout": math.ceil(settings.process.drain_seconds + _stop_seconds(settings)),
        "backpressure": connections,
        "http1_settings": HTTP1Settings(
            header_read_timeout=round(1000 * make_deadline(settings)), max_buffer_size=_HEADER_BUFFER_BYTES
        ),
        "log_level": LogLevels.warning,
        "log_dictconfig": _QUIET,
    }


def _expose(folder: Path) -> Exposition:
    return Exposition(Metrics(version("tallygate")), MultiprocessStore(folder, lives))


def _count_lost_lines(logs: LogWriter, exposition: Exposition) -> None:
    counter = exposition.metrics.log_lines_lost
    logs.count_losses(lambda lines: counter.add(amount=lines))


def _stop_seconds(settings: Settings) -> float:
    """Give how long a worker may take to end after its drain."""
    return settings.upstream.timeout_seconds + _FINISH_SECONDS


def _follow_parent(folder: Path, stop_seconds: float) -> None:
    """End this process when its parent is gone, even killed, and remove the folder that the parent could not.

    Nobody else would kill a worker that does not end within `stop_seconds`.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        # Workers that were forked later hold this one's end of the pipe to the parent: it may close after they end.
        while os.getppid() == parent.pid:
            parent.join(_LOOK_AT_PARENT_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)
        for number in (END_DRAIN, signal.SIGTERM):
            os.kill(os.getpid(), number)
        time.sleep(stop_seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()

"""The parent process: workers with the service in them, the admin port, and what all processes share."""

import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import structlog

from app.server.addresses import resolve
from app.server.admin_port import AdminServer
from app.server.descriptors import plan_descriptors
from app.server.health_probes import admin_pages
from app.server.hung_workers import replace_hung_workers
from app.server.shutdown import hear_stop_signals, ignore_stop_signals, signals_held
from app.server.supervisor import Supervisor
from app.server.worker import count_lost_lines, expose, run_worker, stop_seconds
from app.settings.sections import Settings
from app.telemetry.exposition import Exposition
from app.telemetry.log_writer import LogWriter

log = structlog.get_logger()


def run_workers(settings: Settings, folder: Path, logs: LogWriter) -> None:
    """Serve until a signal ends it, with `folder` for what the processes share, and `logs` of this process.

    Exits with 1 if a worker dies again and again.
    """
    signals = hear_stop_signals()
    connections = _bound_connections(settings)
    address = resolve(settings.http.host, settings.http.port)
    exposition = expose(folder)
    count_lost_lines(logs, exposition)
    exposition.share()
    admin = _bind_admin_port(settings, exposition)
    supervisor = Supervisor(
        partial(spawn, _choose_context(), partial(run_worker, folder, address, connections)),
        settings.process.workers,
        signals,
        math.ceil(settings.process.drain_seconds + stop_seconds(settings)),
        partial(_count_death, exposition),
    )

    def start_threads() -> None:  # after the first workers were forked
        replace_hung_workers(supervisor.kept_pids, exposition.heard)
        if admin is not None:
            admin.open()

    status = supervisor.run(start_threads)
    ignore_stop_signals()
    if status:
        sys.exit(status)


def spawn(context: Any, target: Callable[[], None]) -> BaseProcess:
    """Start a process of a `multiprocessing` context. It holds its signals until it handles them."""
    process: BaseProcess = context.Process(name="tallygate-worker", target=target)
    with signals_held():
        process.start()
    return process


def _choose_context() -> BaseContext:
    """Fork where that is the default, else spawn: a fork server would be the parent of its workers."""
    method = multiprocessing.get_start_method()
    return multiprocessing.get_context("fork" if method == "fork" else "spawn")


def _count_death(exposition: Exposition) -> None:
    exposition.metrics.worker_restarts.add()
    exposition.share()


def _bind_admin_port(settings: Settings, exposition: Exposition) -> AdminServer | None:
    port = settings.telemetry.metrics_port
    if port is None:
        return None
    return AdminServer(settings.http.host, port, admin_pages(exposition, settings.process.workers, time.monotonic))


def _bound_connections(settings: Settings) -> int:
    """Return how many connections of callers a worker accepts, so that it never runs out of descriptors."""
    plan = plan_descriptors(settings, raises=True)
    if plan.connections < settings.http.connections:
        log.warning("descriptors.few", limit=plan.limit, needed=plan.needed, connections=plan.connections)
    return plan.connections

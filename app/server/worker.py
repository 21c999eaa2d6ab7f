"""Worker process: the service, its listening socket, and its end by a signal or with its parent."""

import asyncio
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
import uvloop

from app.access.clients_file import read_clients
from app.api.middleware.edge import Edge
from app.api.streams.streams import Cut
from app.errors import StartError
from app.ingress.listener import Limits, Listener
from app.main import create_app, make_deadline
from app.resilience.draining import Drain
from app.server.addresses import Address
from app.server.garbage import tune_garbage_collection
from app.server.lifespan import lifespan
from app.server.listening import bind
from app.server.shutdown import END_DRAIN, handle_signals_in_worker
from app.settings.environment import read_settings
from app.settings.sections import Settings
from app.telemetry.exposition import Exposition
from app.telemetry.log_writer import LogWriter
from app.telemetry.logs import configure_logs, print_to_log
from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore, lives
from app.wiring.watch import cut_nothing

_FINISH_SECONDS: Final = 5
"""What a worker may take to end after the longest request could have been answered."""

_SEND_SECONDS: Final = 3
"""What of that may pass until the last answer was read."""

_LOOK_AT_PARENT_SECONDS: Final = 1.0

log = structlog.get_logger()


def run_worker(folder: Path, address: Address, connections: int) -> None:
    """Serve in this process until a signal ends it or its parent is gone, at most so many connections of callers.

    The processes share `folder`. Exits with 1 if the service does not start or end well.
    """
    settings = read_settings(os.environ)
    loop, drain, stopped = uvloop.new_event_loop(), Drain(), asyncio.Event()
    listener = Listener(loop, Limits(connections, make_deadline(settings)))
    try:
        app = load_app(folder, settings, drain, listener.cut)
        _follow_parent(folder, stop_seconds(settings))
        handle_signals_in_worker(loop, drain, settings.process.drain_seconds, stopped.set)
        patience_seconds = settings.upstream.timeout_seconds + _SEND_SECONDS
        loop.run_until_complete(_serve(app, address, listener, stopped, patience_seconds))
    except StartError as error:
        _report(error)
        sys.exit(1)
    except Exception:
        log.exception("worker.crashed", pid=os.getpid())
        sys.exit(1)


def load_app(folder: Path, settings: Settings, drain: Drain | None = None, cut: Cut = cut_nothing) -> Edge:
    """Build the service in this process, with its log and garbage collection. `cut` ends connections.

    Raises `StartError`.
    """
    logs = configure_logs(settings.telemetry.log_format, settings.telemetry.log_level)
    print_to_log(logs)
    exposition = expose(folder)
    count_lost_lines(logs, exposition)
    clients = read_clients(settings.access.clients_file)
    app = create_app(settings, clients, exposition=exposition, drain=drain or Drain(), cut=cut)
    tune_garbage_collection()
    return app


def expose(folder: Path) -> Exposition:
    """Make the metrics of this process, which others read in `folder`."""
    return Exposition(Metrics(version("tallygate")), MultiprocessStore(folder, lives))


def count_lost_lines(logs: LogWriter, exposition: Exposition) -> None:
    """Count the lines that this process's log loses."""
    counter = exposition.metrics.log_lines_lost
    logs.count_losses(lambda lines: counter.add(amount=lines))


def stop_seconds(settings: Settings) -> float:
    """Give how long a worker may take to end after its drain."""
    return settings.upstream.timeout_seconds + _FINISH_SECONDS


def _report(error: StartError) -> None:
    log.error("worker.unstartable", pid=os.getpid(), detail=error.detail)  # without a traceback: it is no fault of ours


async def _serve(
    app: Edge, address: Address, listener: Listener, stopped: asyncio.Event, patience_seconds: float
) -> None:
    listening = bind(address)  # before the service starts, which would be in vain
    async with lifespan(app):
        listener.open(listening, app)
        await stopped.wait()
        await listener.close(patience_seconds)


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

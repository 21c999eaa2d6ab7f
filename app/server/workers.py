"""`tallygate serve`: the gateway, with a Valkey of its own where no Redis is given."""

import asyncio
import errno
import gc
import math
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from app.access.clients_file import read_clients
from app.api.middleware.eager_start import start_requests_eagerly
from app.api.middleware.edge import Edge
from app.errors import StartError
from app.main import create_app, make_deadline
from app.redis.embedded import EmbeddedValkey
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.server.admin_port import AdminServer
from app.server.health_probes import admin_pages
from app.server.shutdown import AT_ONCE, handle_signals_in_parent, handle_signals_in_worker
from app.settings.environment import PREFIX, read_settings, unknown_settings
from app.settings.sections import Settings
from app.telemetry.exposition import Exposition
from app.telemetry.logs import configure_logs
from app.telemetry.metrics import Metrics
from app.telemetry.multiprocess import MultiprocessStore, lives
from app.wiring.redis import build_redis_client

# The server refuses larger header sections with a bare 431; up to here, the edge does so with a problem.
_HEADER_BUFFER_BYTES: Final = 2 * 1024 * 1024
_FINISH_SECONDS: Final = 5
"""What a worker may take to end after the longest request of all could have been answered."""

_QUIET: Final[dict[str, Any]] = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}

_LOOK_AFTER: Final = 10_000
"""How many objects more than before call for a look for garbage: of those that there are, a few megabytes."""

_ASK_AFTER_SECONDS: Final = 0.0001
"""How long a thread waits for the interpreter's lock before it asks for it. It is 5 ms by default."""

log = structlog.get_logger()


def serve() -> None:
    """Serve until SIGINT or SIGTERM: then drain first, or with a second one end at once. Raises `StartError`."""
    settings = read_settings(os.environ)
    configure_logs(settings.telemetry.log_format, settings.telemetry.log_level)
    for name, meant in unknown_settings(os.environ):
        log.warning("settings.unknown", variable=name, perhaps=meant)
    read_clients(settings.access.clients_file)
    check_port(settings.http.host, settings.http.port)
    if settings.telemetry.metrics_port is not None:
        check_port(settings.http.host, settings.telemetry.metrics_port)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tallygate-", ignore_cleanup_errors=True)))
        if settings.redis.url is None:
            os.environ[PREFIX + "REDIS_URL"] = stack.enter_context(EmbeddedValkey()).url
        else:
            build_redis_client(settings.redis, Runtime())
        _run_server(settings, folder)


def load_app(folder: Path) -> Edge:
    """Build the service in a worker process, which ends when its parent does, and takes their folder with it."""
    schedule_as_batch()
    _follow_parent(folder)
    settings = read_settings(os.environ)
    configure_logs(settings.telemetry.log_format, settings.telemetry.log_level)
    drain, loop = Drain(), asyncio.get_event_loop()
    handle_signals_in_worker(loop, drain, settings.process.drain_seconds)
    start_requests_eagerly(loop)
    app = create_app(settings, read_clients(settings.access.clients_file), exposition=_expose(folder), drain=drain)
    tune_garbage_collection()
    return app


def tune_garbage_collection() -> None:
    """Keep the garbage collector from all that was imported, which stays: a full collection took 57 ms of CPU with it.

    And let it look less often: a batch of 1,000 makes tens of thousands of objects at once, which go without it, and
    looking after each 700 of them took a tenth to a fifth of its CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_LOOK_AFTER)


def schedule_as_batch() -> None:
    """Let this thread, and those that it starts, wait until what runs on a core pauses, instead of breaking in when they wake up.

    The server's thread and the event loop's wake each other for each request, and else change places on a busy core each
    time: that took a third of the CPU of a hot read (docs/decisions/0022-worker-thread-scheduling.md). Where the system has no such class, or
    does not let us, or somebody chose another one for us, it stays as it is.

    A thread that does not break in is too late for the interpreter's lock when that is let go for a moment, and gets it only when it asks
    for it after a while: that while is made short, lest a request wait for it in the midst of heavy work.
    """
    sys.setswitchinterval(_ASK_AFTER_SECONDS)
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _expose(folder: Path) -> Exposition:
    return Exposition(Metrics(version("tallygate")), MultiprocessStore(folder, lives))


def check_port(host: str, port: int) -> None:
    """Raise `StartError` if the address cannot be bound: the server would share a port that another one holds."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise StartError(f"Cannot listen at {host}:{port}: it is in use. Choose another TALLYGATE_PORT.") from None
        reason = (isinstance(error, OSError) and error.strerror) or "it is no name of a host"
        raise StartError(f"Cannot listen at TALLYGATE_HOST {host}, TALLYGATE_PORT {port}: {reason}.") from None


class _Server(MPServer):
    """A server that tells of the workers that died."""

    exposition: Exposition

    def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
        for number in workers:
            process = self.wrks[number].inner
            if not process.is_alive():
                log.error("worker.died", worker=number + 1, pid=process.pid, status=process.exitcode)
                self.exposition.metrics.worker_restarts.add()
        self.exposition.share()
        super()._respawn_workers(workers, *arguments, **options)


def _run_server(settings: Settings, folder: Path) -> None:
    server = _Server(
        "tallygate",
        address=settings.http.host,
        port=settings.http.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,  # connections over HTTP/2 have no deadline, nor those that may still turn out to be
        workers=settings.process.workers,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=math.ceil(settings.process.drain_seconds + settings.upstream.timeout_seconds)
        + _FINISH_SECONDS,
        backpressure=settings.http.connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(1000 * make_deadline(settings)), max_buffer_size=_HEADER_BUFFER_BYTES
        ),
        log_level=LogLevels.warning,
        log_dictconfig=_QUIET,
    )
    server.exposition = _expose(folder)
    server.exposition.share()
    server.on_startup(lambda: handle_signals_in_parent(server))
    if (
        port := settings.telemetry.metrics_port
    ) is not None:  # after the signals are blocked, lest its thread gets them
        pages = admin_pages(server.exposition, settings.process.workers, time.monotonic)
        server.on_startup(lambda: AdminServer(settings.http.host, port, pages).open())
    server.serve(target_loader=partial(load_app, folder), wrap_loader=False)


def _follow_parent(folder: Path) -> None:
    """End this process when its parent is gone, killed even, and remove what that one could not."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        shutil.rmtree(folder, ignore_errors=True)
        for number in (AT_ONCE, signal.SIGTERM):
            os.kill(os.getpid(), number)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()

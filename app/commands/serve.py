"""`tallygate serve`: the gateway, with a Valkey of its own where no Redis is given."""

import asyncio
import errno
import itertools
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import structlog
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from app.api.edge import Edge
from app.cache.embedded import EmbeddedValkey
from app.errors import StartError
from app.main import create_app, make_link
from app.settings import PREFIX, Settings, read_callers, read_settings, unknown_settings
from app.telemetry.logs import configure_logs

# The server refuses larger header sections with a bare 431; up to here, the edge does so with a problem.
_HEADER_BUFFER_BYTES: Final = 2 * 1024 * 1024
_SETTLE_SECONDS: Final = 0.1
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_QUIET: Final[dict[str, Any]] = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}

log = structlog.get_logger()


def serve() -> None:
    """Serve until SIGINT or SIGTERM. Raises `StartError`."""
    settings = read_settings(os.environ)
    configure_logs(settings.log_format, settings.log_level)
    for name, meant in unknown_settings(os.environ):
        log.warning("settings.unknown", variable=name, perhaps=meant)
    read_callers(settings.clients_file)
    check_port(settings.host, settings.port)
    with ExitStack() as stack:
        if settings.redis_url is None:
            os.environ[PREFIX + "REDIS_URL"] = stack.enter_context(EmbeddedValkey()).url
        else:
            make_link(settings)
        _run_server(settings)


def load_app() -> Edge:
    """Build the service in a worker process, which ends when its parent does."""
    _follow_parent()
    _stop_once_in_worker(asyncio.get_event_loop())
    settings = read_settings(os.environ)
    configure_logs(settings.log_format, settings.log_level)
    return create_app(settings, read_callers(settings.clients_file))


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


def _run_server(settings: Settings) -> None:
    server = MPServer(
        "tallygate",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        websockets=False,
        respawn_failed_workers=True,
        http1_settings=HTTP1Settings(max_buffer_size=_HEADER_BUFFER_BYTES),
        log_level=LogLevels.warning,
        log_dictconfig=_QUIET,
    )
    server.on_startup(lambda: _stop_once_in_main(server))
    server.serve(target_loader=load_app, wrap_loader=False)


def _follow_parent() -> None:
    """End this process when its parent is gone, killed even."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def _stop_once_in_main(server: MPServer) -> None:
    """Wait for the signals in a thread of their own: the main thread may sleep through one that another thread got."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)

    def wait() -> None:
        signal.sigwait(_STOP_SIGNALS)
        for worker in server.wrks:
            worker.interrupt_by_parent = True  # one that ends now was signalled together with us
        server.signal_handler_interrupt()  # type: ignore[no-untyped-call]

    threading.Thread(target=wait, name="stop-watch", daemon=True).start()


def _stop_once_in_worker(loop: asyncio.AbstractEventLoop) -> None:
    """Replace the handlers that the server is about to set for a worker: both signals count as one, and none is lost.

    uvloop loses a signal that comes while it does not run, as between the application's start and the first request;
    Python's own handlers do not. What they pass on waits a moment, so that the server is there to hear it.
    """
    stop = _only_first(lambda handler, *arguments: loop.call_later(_SETTLE_SECONDS, handler, *arguments))

    def add_signal_handler(number: int, handler: Callable[..., object], *arguments: Any) -> None:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop, handler, *arguments))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])

    loop.add_signal_handler = add_signal_handler  # type: ignore[method-assign, assignment]


def _only_first(handler: Callable[..., object]) -> Callable[..., None]:
    """Pass on the first call only.

    Ctrl-C reaches the parent and the workers, and the parent then signals the workers too. The server's handlers
    (granian 2.8.7) can lock themselves up for ever when they are called while they run.
    """
    calls = itertools.count()

    def handle(*arguments: Any) -> None:
        if next(calls) == 0:
            handler(*arguments)

    return handle

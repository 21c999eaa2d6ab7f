"""`tallygate serve`: the gateway, with an embedded Valkey where no Redis is set."""

import errno
import os
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

import structlog

from app.access.clients_file import read_clients
from app.errors import StartError
from app.redis.embedded import EmbeddedValkey
from app.server.workers import run_workers
from app.settings.environment import PREFIX, read_settings, unknown_settings
from app.telemetry.logs import configure_logs
from app.wiring.redis import check_redis_url

log = structlog.get_logger()


def serve() -> None:
    """Serve until SIGINT or SIGTERM, which begins a drain; a second one cuts that short. Raises `StartError`."""
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
            check_redis_url(settings.redis, plain=settings.process.plain)
        run_workers(settings, folder)


def check_port(host: str, port: int) -> None:
    """Raise `StartError` if the address cannot be bound: granian would share a port that another process holds."""
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

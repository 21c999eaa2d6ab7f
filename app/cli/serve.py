"""`tallygate serve`: the gateway, with an embedded Valkey where no Redis is set."""

import os
from contextlib import ExitStack
from pathlib import Path

import structlog

from app.access.clients_file import read_clients
from app.errors import StartError
from app.redis.embedded import EmbeddedValkey
from app.server.addresses import check_port
from app.server.workers import run_workers
from app.settings.environment import PREFIX, read_settings, unknown_settings
from app.telemetry.logs import configure_logs, print_to_log
from app.temporary_folders import TemporaryFolder, remove_abandoned_folders
from app.wiring.history import check_history_url
from app.wiring.redis import check_redis_url

log = structlog.get_logger()


def check_working_folder() -> None:
    """Raise `StartError` if the working folder is gone: the server library fails without one."""
    try:
        Path.cwd()
    except OSError as error:
        raise StartError(f"The working folder cannot be used ({error.strerror}): start in one that exists.") from None


def serve() -> None:
    """Serve until SIGINT or SIGTERM, which begins a drain; a second one cuts that short. Raises `StartError`."""
    check_working_folder()
    settings = read_settings(os.environ)
    logs = configure_logs(settings.telemetry.log_format, settings.telemetry.log_level)
    print_to_log(logs)
    for name, meant in unknown_settings(os.environ):
        log.warning("settings.unknown", variable=name, perhaps=meant)
    read_clients(settings.access.clients_file)
    check_port(settings.http.host, settings.http.port)
    if settings.telemetry.metrics_port is not None:
        check_port(settings.http.host, settings.telemetry.metrics_port, PREFIX + "METRICS_PORT")
    check_history_url(settings)
    if abandoned := remove_abandoned_folders():
        log.info("folders.removed", folders=abandoned)
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryFolder()).path
        if settings.redis.url is None:
            os.environ[PREFIX + "REDIS_URL"] = stack.enter_context(EmbeddedValkey()).url
        else:
            check_redis_url(settings.redis, plain=settings.process.plain)
        run_workers(settings, folder, logs)

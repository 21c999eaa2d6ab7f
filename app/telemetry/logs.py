"""Structured logs: one event a line, with a dotted name and fields, for our own events and those of libraries."""

import logging
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
import structlog


class LogFormat(StrEnum):
    """JSON lines for machines, or aligned and coloured text for people."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The lowest level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure_logs(log_format: LogFormat, level: LogLevel) -> None:
    """Log events from `level` on, and those of libraries from WARNING on, to standard error. May be repeated."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared = _stamp()
    render = _renderer(log_format)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)


def _stamp() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _renderer(log_format: LogFormat) -> Sequence[Any]:
    match log_format:
        case LogFormat.CONSOLE:
            # where `rich` is installed, the default formatter prints local variables too, and so secrets
            plain = structlog.dev.plain_traceback
            return [
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(), timestamp_key="time", exception_formatter=plain
                )
            ]
        case LogFormat.JSON:
            return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]


def _json(event: dict[str, Any], **_: object) -> str:
    first = {name: event.pop(name) for name in ("time", "level", "event") if name in event}
    return msgspec.json.encode(first | event, enc_hook=repr).decode()

"""Logs: one event a line, dotted names, fields; ours and those of libraries in the same form. Logging never raises."""

import logging
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from enum import StrEnum
from multiprocessing.util import Finalize
from typing import Any, Final

import msgspec
import structlog

from app.telemetry.log_writer import LogStream, LogWriter

STANDARD_ERROR: Final = 2

_LAST: Final = -100
"""The priority of what runs at a process's end after all else."""

REQUEST_FIELDS: Final[ContextVar[Mapping[str, str]]] = ContextVar("request_fields")
"""The fields of every log line about the request that is under way. A task has those of the request that started it."""

_Event = MutableMapping[str, Any]
_Processor = Callable[[Any, str, _Event], Any]


class LogFormat(StrEnum):
    """JSON lines for machines, or aligned and coloured text for people."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure_logs(log_format: LogFormat, level: LogLevel, output: int = STANDARD_ERROR) -> LogWriter:
    """Write events from `level` on to `output`, and what libraries log from WARNING on. May be repeated.

    Each process that logs configures its own log. At its end, it waits up to a second for what is not written yet.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    render = _never_raising([*_stamp(), *_renderer(log_format, output)])
    writer = LogWriter(output, lambda lines: _describe_loss(render, lines))
    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Output(writer),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_LibraryHandler(writer, render)], level=max(number, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)
    Finalize(None, writer.flush, exitpriority=_LAST)  # unlike atexit's, it runs in a multiprocessing child too
    return writer


def print_to_log(writer: LogWriter) -> None:
    """Let the log writer write what this process prints to standard error, so that this neither fails nor blocks."""
    sys.stderr = LogStream(writer)


class _Output:
    """What structlog hands its finished lines to, whatever their level."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer: Final = writer

    def msg(self, line: str) -> None:
        self._writer.write(line)

    debug = info = warning = error = critical = exception = msg


class _LibraryHandler(logging.Handler):
    """Hand a library's log record to the same writer, in the same form."""

    def __init__(self, writer: LogWriter, render: _Processor) -> None:
        super().__init__()
        self._writer: Final = writer
        self._render: Final = render

    def emit(self, record: logging.LogRecord) -> None:
        event = {"event": _message(record), "logger": record.name}
        event |= {name: value for name in ("exc_info", "stack_info") if (value := getattr(record, name))}
        self._writer.write(self._render(None, record.levelname.lower(), event))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # a library's arguments do not fit its text
        return _show(record.msg)


def add_request_fields(_: Any, __: str, event: _Event) -> _Event:
    """Add the fields of the request that is under way, if one is, to an event without them."""
    return {**REQUEST_FIELDS.get({}), **event}


def _stamp() -> list[Any]:
    return [
        add_request_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _renderer(log_format: LogFormat, output: int) -> Sequence[Any]:
    match log_format:
        case LogFormat.CONSOLE:
            # the default formatter, where `rich` is installed, prints the local variables too, and with them secrets
            plain = structlog.dev.plain_traceback
            return [
                structlog.dev.ConsoleRenderer(colors=os.isatty(output), timestamp_key="time", exception_formatter=plain)
            ]
        case LogFormat.JSON:
            return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]


def _never_raising(processors: Sequence[_Processor]) -> _Processor:
    """Make one processor of several. Where one of them fails, the event is written with what can be shown of it."""

    def render(logger: Any, method: str, event: _Event) -> str:
        given: _Event = dict(event)
        try:
            for process in processors:
                event = process(logger, method, event)
        except Exception as error:  # noqa: BLE001  # a field's own code may raise anything
            given["unrenderable"] = type(error).__name__
            for process in _stamp():
                given = process(logger, method, given)
            return _json({_show(name): _show(value) for name, value in given.items()})
        return str(event)

    return render


def _json(event: dict[str, Any], **_: object) -> str:
    first = {name: event.pop(name) for name in ("time", "level", "event") if name in event}
    return msgspec.json.encode(first | event, enc_hook=_show).decode()


def _show(value: object) -> str:
    """Give a value's `repr` in ASCII, or its type where that raises."""
    try:
        return value if isinstance(value, str) and value.isascii() else ascii(value)
    except Exception:  # noqa: BLE001  # its own `__repr__`
        return f"<{type(value).__name__}>"


def _describe_loss(render: _Processor, lines: int) -> str:
    every_level = structlog.make_filtering_bound_logger(logging.NOTSET)
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[render], wrapper_class=every_level)
    line: str = log.warning("logs.lost", lines=lines)
    return line

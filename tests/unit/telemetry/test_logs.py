"""Whatever is logged, logging it raises nothing, and as much as can be shown is written."""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app.telemetry.logs import REQUEST_FIELDS, LogFormat, LogLevel, configure_logs

log = structlog.get_logger()


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("broken")


class Written:
    """What was written to the log."""

    def __init__(self, log_format: LogFormat, level: LogLevel) -> None:
        self._reader, output = os.pipe()
        self._output = output
        self._writer = configure_logs(log_format, level, output)

    def lines(self) -> list[str]:
        self._writer.close()
        os.close(self._output)
        with os.fdopen(self._reader, encoding="utf-8") as reader:
            return reader.read().splitlines()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture(autouse=True)
def _kept_configuration() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    structlog.configure(**before)
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["circle"] = circle
    return circle


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize(
    "value", [_Unprintable(), {"deep": [_Unprintable()]}, _circle(), "\udcff", {_Unprintable(): 1}, 10**400]
)
def test_no_value_keeps_an_event_from_being_written(log_format: LogFormat, value: object) -> None:
    written = Written(log_format, LogLevel.INFO)
    log.warning("some.event", value=value, other="shown")
    logging.getLogger("library").warning("%s and %s", value, "more")
    logging.getLogger("library").warning("%d fits not", value)
    first, *others = written.lines()
    assert "some.event" in first
    assert "shown" in first
    assert len(others) == 2


def test_an_event_that_cannot_be_rendered_has_its_level_its_time_and_the_reason() -> None:
    written = Written(LogFormat.JSON, LogLevel.INFO)
    log.error("some.event", value="\udcff", exc_info=KeyError(_Unprintable()))
    (event,) = written.events()
    assert (event["level"], event["event"]) == ("error", "some.event")
    assert event.keys() >= {"time", "unrenderable", "value", "exc_info"}


def test_an_event_says_of_which_request_it_is_while_one_is_under_way() -> None:
    written = Written(LogFormat.JSON, LogLevel.INFO)
    request = REQUEST_FIELDS.set({"request_id": "r1"})
    log.info("in.request")
    logging.getLogger("library").warning("of it")
    log.info("of.another", request_id="r2")
    REQUEST_FIELDS.reset(request)
    log.info("after.it")
    assert [event.get("request_id") for event in written.events()] == ["r1", "r1", "r2", None]


def test_libraries_and_warnings_are_written_in_the_same_form_and_in_order() -> None:
    written = Written(LogFormat.JSON, LogLevel.INFO)
    log.info("one.event", field=1)
    logging.getLogger("library").info("not written")
    logging.getLogger("library").warning("%s %s", "two", "words")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("odd", stacklevel=1)
    events = written.events()
    assert [(event["level"], event.get("logger")) for event in events] == [
        ("info", None),
        ("warning", "library"),
        ("warning", "py.warnings"),
    ]
    assert events[1]["event"] == "two words"
    assert list(events[0]) == ["time", "level", "event", "field"]


@pytest.mark.parametrize("level", LogLevel)
def test_a_loss_is_reported_at_every_level(level: LogLevel) -> None:
    written = Written(LogFormat.JSON, level)
    written._writer.lose(3)
    (event,) = written.events()
    assert (event["event"], event["lines"], event["level"]) == ("logs.lost", 3, "warning")

"""Signals of a worker, and the context in which they are handled."""

import asyncio
import signal
from collections.abc import Iterator, Mapping

import pytest

from app.resilience.draining import Drain
from app.server.shutdown import END_DRAIN, handle_signals_in_worker
from app.telemetry.logs import REQUEST_FIELDS


@pytest.fixture(autouse=True)
def _handlers_of_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, END_DRAIN)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _work(handled: list[str]) -> None:
    """Handle a request which a signal interrupts."""
    request = REQUEST_FIELDS.set({"request_id": "of a request"})
    signal.raise_signal(signal.SIGTERM)
    assert handled == []
    REQUEST_FIELDS.reset(request)


def test_a_signal_is_handled_outside_the_request_that_it_interrupts_and_the_server_stops_once() -> None:
    async def serve() -> list[Mapping[str, str]]:
        loop, drain = asyncio.get_running_loop(), Drain()
        contexts: list[Mapping[str, str]] = []
        handled: list[str] = []
        stopped = asyncio.Event()

        def note(what: str) -> None:
            contexts.append(REQUEST_FIELDS.get({}))
            handled.append(what)

        def end() -> None:
            note("stopped")
            stopped.set()

        drain.watch(lambda: note("draining"))
        handle_signals_in_worker(loop, drain, 0, end)
        loop.add_signal_handler(signal.SIGTERM, lambda *_: note("stop"), signal.SIGTERM, None)
        _work(handled)
        signal.raise_signal(signal.SIGTERM)
        await stopped.wait()
        assert handled == ["draining", "stop", "stopped"]
        return contexts

    assert asyncio.run(serve()) == [{}, {}, {}]

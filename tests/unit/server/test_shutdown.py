"""Signals: none is lost, wherever it arrives, and a worker handles its own outside of what they interrupt."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace

import pytest
import uvloop

from app.resilience.draining import Drain
from app.server.shutdown import END_DRAIN, STOP_SIGNALS, handle_signals_in_worker, hear_stop_signals, signals_held
from app.server.workers import spawn
from app.telemetry.logs import REQUEST_FIELDS

LONG = 600
PATIENCE_SECONDS = 10


@pytest.fixture(autouse=True)
def _handlers_of_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, END_DRAIN)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def pipe() -> Iterator[int]:
    reading = hear_stop_signals()
    writing = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(writing)
    yield reading
    signal.set_wakeup_fd(-1)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_that_another_thread_receives_wakes_up_the_parent(pipe: int, number: int) -> None:
    with pytest.raises(BlockingIOError):
        os.read(pipe, 9)
    held = threading.Event()
    thread = threading.Thread(target=held.wait)
    thread.start()
    assert thread.ident is not None
    signal.pthread_kill(thread.ident, number)
    assert select.select([pipe], [], [], PATIENCE_SECONDS)[0] == [pipe]
    held.set()
    thread.join()
    assert os.read(pipe, 9) == bytes([number])


def test_a_process_that_begins_holds_its_signals_and_takes_none_for_its_parents(pipe: int) -> None:
    loop, drain = asyncio.new_event_loop(), Drain()
    with signals_held():
        for number in (signal.SIGTERM, END_DRAIN):
            signal.raise_signal(number)
        stopped = asyncio.Event()
        handle_signals_in_worker(loop, drain, LONG, stopped.set)
        loop.run_until_complete(stopped.wait())
    with pytest.raises(BlockingIOError):
        os.read(pipe, 9)
    loop.close()


class Starting:
    """A process that notes which signals it holds when it starts."""

    def __init__(self) -> None:
        self.held: set[int] = set()

    def start(self) -> None:
        self.held = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


@pytest.mark.parametrize(("words", "status"), [("", -signal.SIGTERM), ("ignore_stop_signals()", 0)])
def test_a_signal_while_the_process_ends_does_not_change_its_status(words: str, status: int) -> None:
    program = f"""
import os, signal
from app.server.shutdown import hear_stop_signals, ignore_stop_signals


class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):
        kill(pid, number)


hear_stop_signals()
late = Late()
{words}
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == status


def test_a_worker_starts_with_its_signals_held_and_its_parent_goes_on_with_them() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    starting = Starting()
    spawn(SimpleNamespace(Process=lambda **_: starting), lambda: None)
    assert starting.held >= {*STOP_SIGNALS, END_DRAIN}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def _work(handled: list[str]) -> None:
    """Handle a request which a signal interrupts."""
    request = REQUEST_FIELDS.set({"request_id": "of a request"})
    signal.raise_signal(signal.SIGTERM)
    assert handled == []
    REQUEST_FIELDS.reset(request)


def test_a_signal_is_handled_outside_the_request_that_it_interrupts_and_the_drain_begins_once() -> None:
    async def serve() -> list[Mapping[str, str]]:
        contexts: list[Mapping[str, str]] = []
        handled: list[str] = []
        stopped = asyncio.Event()

        def note(what: str) -> None:
            contexts.append(REQUEST_FIELDS.get({}))
            handled.append(what)

        def stop() -> None:
            note("stop")
            stopped.set()

        drain = Drain()
        drain.watch(lambda: note("draining"))
        handle_signals_in_worker(asyncio.get_running_loop(), drain, 0, stop)
        _work(handled)
        signal.raise_signal(signal.SIGINT)
        await stopped.wait()
        assert handled == ["draining", "stop"]
        return contexts

    assert asyncio.run(serve()) == [{}, {}]


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("numbers", [(signal.SIGTERM, END_DRAIN), (END_DRAIN, signal.SIGINT)])
def test_a_signal_before_the_loop_runs_is_not_lost_and_a_drain_is_cut_short(
    new_loop: Callable[[], asyncio.AbstractEventLoop], numbers: tuple[int, int]
) -> None:
    loop, drain, stopped = new_loop(), Drain(), asyncio.Event()
    handle_signals_in_worker(loop, drain, LONG, stopped.set)
    for number in numbers:
        signal.raise_signal(number)
    loop.run_until_complete(asyncio.wait_for(stopped.wait(), PATIENCE_SECONDS))
    assert drain.is_on
    loop.close()

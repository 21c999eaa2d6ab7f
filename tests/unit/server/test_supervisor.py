"""The supervisor keeps its workers: dead ones are replaced, unless they die again at once, and a signal stops all."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.server.shutdown import END_DRAIN
from app.server.supervisor import Supervisor, System

STOP_SECONDS = 30
TERM, KILL = signal.SIGTERM, signal.SIGKILL


class Process:
    """A process, whose id is its sentinel, too."""

    def __init__(self, pid: int) -> None:
        self.pid = self.sentinel = pid
        self.exitcode: int | None = None
        self.was_joined = False

    def join(self) -> None:
        assert self.exitcode is not None
        self.was_joined = True


class Machine:
    """A machine with a clock of its own. A worker ends `stop_takes` seconds after it was asked to; None is never."""

    def __init__(self, stop_takes: float | None = 1.0) -> None:
        self.now = 100.0
        self.stop_takes = stop_takes
        self.processes: dict[int, Process] = {}
        self.sent: list[tuple[float, int, int]] = []
        self.deaths = 0
        self.pipe, self._signals = os.pipe()
        os.set_blocking(self.pipe, False)
        self._due: list[tuple[float, Callable[[], None]]] = []

    def spawn(self) -> Any:
        pid = 1000 + len(self.processes)
        self.processes[pid] = Process(pid)
        return self.processes[pid]

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self._due.append((self.now + seconds, action))

    def end(self, pid: int, status: int = 1) -> None:
        if self.processes[pid].exitcode is None:
            self.processes[pid].exitcode = status

    def signal(self, number: int = TERM) -> None:
        os.write(self._signals, bytes([number]))

    def kill(self, pid: int, number: int) -> None:
        assert not self.processes[pid].was_joined, "the id may be another process's"
        self.sent.append((round(self.now - 100, 3), pid, number))
        if number == KILL:
            self.end(pid, -KILL)
        elif number == TERM and self.stop_takes is not None:
            self.after(self.stop_takes, lambda: self.end(pid, 0))

    def wait(self, _: Sequence[int], seconds: float | None) -> list[int]:
        """Let time pass until something happens."""
        if not (ready := self._ended()):
            self._due.sort(key=lambda each: each[0])
            if not self._due or (seconds is not None and self._due[0][0] > self.now + seconds):
                assert seconds is not None, "nothing will ever happen"
                self.now += seconds
                return []
            self.now, action = self._due.pop(0)
            action()
            ready = self._ended()
        return ready

    def _ended(self) -> list[int]:
        return [pid for pid, one in self.processes.items() if one.exitcode is not None and not one.was_joined]

    def count_death(self) -> None:
        self.deaths += 1

    def supervise(self, workers: int) -> Supervisor:
        system = System(wait=self.wait, kill=self.kill, monotonic=lambda: self.now)
        return Supervisor(self.spawn, workers, self.pipe, STOP_SECONDS, self.count_death, system)

    def run(self, workers: int) -> tuple[int, list[Any]]:
        """Run the supervisor to its end, and give its status and what it logged."""
        with capture_logs() as logs:
            return self.supervise(workers).run(lambda: None), logs

    def close(self) -> None:
        os.close(self.pipe)
        os.close(self._signals)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.close()


def test_a_worker_that_dies_is_reported_counted_and_replaced_under_its_number(machine: Machine) -> None:
    machine.after(60, lambda: machine.end(1001, -9))
    machine.after(90, machine.signal)
    status, logs = machine.run(2)
    assert (status, machine.deaths, len(machine.processes)) == (0, 1, 3)
    (died,) = logs
    assert (died["event"], died["worker"], died["pid"], died["status"]) == ("worker.died", 2, 1001, -9)
    assert [pid for _, pid, _ in machine.sent] == [1000, 1002]
    assert all(one.was_joined for one in machine.processes.values())


def test_a_worker_that_dies_soon_after_it_replaced_another_one_ends_the_service(machine: Machine) -> None:
    machine.after(60, lambda: machine.end(1000))
    machine.after(65.4, lambda: machine.end(1002, 3))
    status, logs = machine.run(2)
    assert (status, machine.deaths) == (1, 1)
    assert [line["event"] for line in logs] == ["worker.died", "worker.crash_loop"]
    assert (logs[1]["worker"], logs[1]["pid"], logs[1]["status"]) == (1, 1002, 3)
    assert machine.sent == [(65.4, 1001, TERM)]


def test_a_worker_that_dies_later_or_another_one_soon_is_replaced(machine: Machine) -> None:
    machine.after(60, lambda: machine.end(1000))
    machine.after(61, lambda: machine.end(1001))
    machine.after(65.6, lambda: machine.end(1002))
    machine.after(90, machine.signal)
    status, _ = machine.run(2)
    assert (status, machine.deaths, len(machine.processes)) == (0, 3, 5)


def test_a_crash_loop_is_seen_of_each_worker_though_another_one_died_meanwhile(machine: Machine) -> None:
    machine.after(60, lambda: machine.end(1000))
    machine.after(61, lambda: machine.end(1001))
    machine.after(64, lambda: machine.end(1002))
    assert machine.run(2)[0] == 1


def test_the_first_signal_stops_each_worker_and_kills_none(machine: Machine) -> None:
    supervisor, kept = machine.supervise(2), list[list[int]]()
    machine.after(60, machine.signal)
    machine.after(59, lambda: kept.append(supervisor.kept_pids()))
    machine.after(60.5, lambda: kept.append(supervisor.kept_pids()))
    assert supervisor.run(lambda: None) == 0
    assert machine.sent == [(60, 1000, TERM), (60, 1001, TERM)]
    assert kept == [[1000, 1001], []]


def test_a_worker_that_does_not_end_in_time_is_killed_and_that_is_logged(machine: Machine) -> None:
    machine.stop_takes = None
    machine.after(60, machine.signal)
    machine.after(62, lambda: machine.end(1000, 0))
    status, logs = machine.run(2)
    assert machine.sent[2:] == [(60 + STOP_SECONDS, 1001, KILL)]
    assert status == 0
    assert [(line["event"], line["worker"], line["pid"]) for line in logs] == [("worker.killed", 2, 1001)]


@pytest.mark.parametrize(("second", "killed"), [(60, 61), (70, 71), (60 + STOP_SECONDS - 0.5, 60 + STOP_SECONDS)])
def test_a_second_signal_ends_the_drain_and_then_all_work(machine: Machine, second: float, killed: float) -> None:
    machine.stop_takes = None
    machine.after(60, partial(machine.signal, signal.SIGINT))
    machine.after(second, machine.signal)
    machine.after(second, machine.signal)
    status, logs = machine.run(1)
    assert machine.sent == [(60, 1000, TERM), (second, 1000, END_DRAIN), (killed, 1000, KILL)]
    assert (status, [line["event"] for line in logs]) == (0, ["server.cut_off"])


def test_a_worker_that_ends_by_the_signal_which_reaches_all_is_not_replaced(machine: Machine) -> None:
    def reach_all() -> None:
        machine.signal()
        machine.end(1000, 0)

    machine.after(60, reach_all)
    status, logs = machine.run(1)
    assert (status, machine.deaths, logs, len(machine.processes)) == (0, 0, [], 1)


def test_other_signals_stop_nothing(machine: Machine) -> None:
    machine.after(50, partial(machine.signal, signal.SIGALRM))
    machine.after(60, machine.signal)
    machine.run(1)
    assert machine.sent == [(60, 1000, TERM)]


def test_workers_are_stopped_where_something_fails_after_their_start(machine: Machine) -> None:
    def fail() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        machine.supervise(2).run(fail)
    assert [pid for _, pid, _ in machine.sent] == [1000, 1001]
    assert all(one.was_joined for one in machine.processes.values())

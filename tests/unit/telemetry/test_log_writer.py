"""A log that cannot be written harms nobody who logs, and says afterwards what is missing."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path

import pytest

from app.telemetry.log_writer import LogStream, LogWriter

PATIENCE_SECONDS = 30
RETRY_SECONDS = 0.01


class Output:
    """A descriptor with log writers, and what reads it."""

    def __init__(self, reader: int, number: int) -> None:
        self.reader = reader
        self.number = number
        self._writers: list[LogWriter] = []

    def writer(self, **bounds: int) -> LogWriter:
        self._writers.append(LogWriter(self.number, "{} lost".format, retry_seconds=RETRY_SECONDS, **bounds))
        return self._writers[-1]

    def close(self) -> None:
        """Close the reader first, so that no writer waits for it."""
        with suppress(OSError):
            os.close(self.reader)
        for writer in self._writers:
            writer.close()
        with suppress(OSError):
            os.close(self.number)


@pytest.fixture
def output() -> Iterator[Output]:
    """A pipe of one page."""
    output = Output(*os.pipe())
    fcntl(output.number, F_SETPIPE_SZ, 4096)
    yield output
    output.close()


def read_lines(reader: int, until: str) -> list[str]:
    """Read until a line has been read."""
    received = b""
    while until.encode() not in received.splitlines():
        received += os.read(reader, 1 << 16)
    return received.decode().splitlines()


def test_lines_are_written_whole_and_in_order(output: Output) -> None:
    writer = output.writer()
    lines = [f"line {number} {'ä' * number}" for number in range(1000)]

    def log() -> None:
        for line in lines:
            writer.write(line)

    thread = threading.Thread(target=log)
    thread.start()
    assert read_lines(output.reader, lines[-1]) == lines
    thread.join()
    assert writer.flush(PATIENCE_SECONDS)


def test_a_pipe_that_nobody_reads_stops_nobody_and_its_losses_are_counted_and_reported(output: Output) -> None:
    writer, counted = output.writer(max_lines=100), list[int]()
    writer.count_losses(counted.append)
    for number in range(1000):
        writer.write(f"{number:04} {'x' * 100}")
    assert not writer.flush(0)
    lost = sum(counted)
    assert lost >= 850
    received = b""
    while sum(map(int, re.findall(rb"([0-9]+) lost\n", received))) + received.count(b"x\n") < 1000:
        received += os.read(output.reader, 1 << 16)
    assert writer.flush(PATIENCE_SECONDS)
    writer.write("the end")
    assert read_lines(output.reader, "the end") == ["the end"]
    numbers = [int(line[:4]) for line in received.splitlines() if line.endswith(b"x")]
    assert numbers == sorted(numbers)
    assert len(numbers) + lost == 1000
    assert sum(counted) == lost


def test_bytes_are_bounded_as_lines_are(output: Output) -> None:
    writer, counted = output.writer(max_bytes=100_000), list[int]()
    writer.count_losses(counted.append)
    for _ in range(20):
        writer.write("x" * 10_000)
    assert sum(counted) >= 20 - 9 - 1


def test_a_full_disk_loses_lines_until_there_is_room_and_then_it_is_reported(output: Output, tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as disk, Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), output.number)
        writer, counted = output.writer(), list[int]()
        writer.count_losses(counted.append)
        for number in range(3):
            writer.write(f"lost {number}")
            writer.flush(PATIENCE_SECONDS)
        assert sum(counted) == 3
        os.dup2(disk.fileno(), output.number)  # now there is room
        writer.write("kept")
        assert writer.flush(PATIENCE_SECONDS)
    assert (tmp_path / "log").read_text() == "3 lost\nkept\n"


def test_a_loss_is_reported_without_a_further_line(output: Output) -> None:
    room = os.dup(output.number)
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), output.number)
    writer = output.writer()
    writer.write("lost")
    writer.flush(PATIENCE_SECONDS)
    os.dup2(room, output.number)
    os.close(room)
    assert read_lines(output.reader, "1 lost") == ["1 lost"]


@pytest.mark.parametrize("kind", ["no reader", "closed"])
def test_a_reader_that_is_gone_or_a_closed_descriptor_harm_nobody(output: Output, kind: str) -> None:
    os.close(output.reader if kind == "no reader" else output.number)
    writer, counted = output.writer(), list[int]()
    writer.write("lost")
    writer.flush(PATIENCE_SECONDS)
    writer.count_losses(counted.append)
    assert counted == [1]


def test_a_line_that_was_torn_ends_before_the_next_one(output: Output) -> None:
    os.set_blocking(output.number, False)
    writer = output.writer()
    writer.write("x" * 10_000)  # more than the pipe holds
    assert read_lines(output.reader, "x" * 10_000) == ["x" * 10_000]
    assert writer._write(b"torn") == 4
    assert writer._write(b"next\n") == 5
    assert read_lines(output.reader, "next") == ["torn", "next"]


def test_a_forked_process_writes_its_own_lines_and_none_of_its_parent(output: Output) -> None:
    writer = output.writer()
    with writer._lock:  # as when another thread logs in that moment
        for number in range(3):
            writer.write(f"of the parent {number}")
        if (pid := os.fork()) == 0:
            writer.write("of the child")
            os._exit(0 if writer.flush(PATIENCE_SECONDS) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert writer.flush(PATIENCE_SECONDS)
    os.close(output.number)
    lines = read_lines(output.reader, "of the parent 2")
    assert sorted(lines) == ["of the child", *(f"of the parent {number}" for number in range(3))]


def test_the_thread_takes_no_signal_from_the_main_one(output: Output) -> None:
    writer = output.writer()
    writer.write("begin")
    writer.flush(PATIENCE_SECONDS)
    thread = writer._thread
    assert thread is not None
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    assert blocked >> signal.SIGTERM - 1 & 1
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_thread_that_ended_is_replaced(output: Output) -> None:
    writer = output.writer()
    for line in ("before", "after"):
        writer.write(line)
        assert line in read_lines(output.reader, line)
        writer.close(PATIENCE_SECONDS)


def test_what_is_printed_is_written_by_lines(output: Output) -> None:
    stream = LogStream(output.writer())
    print("one", "two\nthree", file=stream)
    print("begun", end="", file=stream)
    stream.flush()
    assert read_lines(output.reader, "begun") == ["one two", "three", "begun"]


async def test_an_event_loop_does_not_wait_for_what_is_printed(output: Output) -> None:
    writer = output.writer()
    stream = LogStream(writer)
    print("x" * 10_000, file=stream, flush=True)
    assert not writer.flush(0)

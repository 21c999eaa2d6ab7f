"""Log writer: a bounded queue and one daemon thread a process. No caller waits for the log or fails with it."""

import asyncio
import io
import os
import select
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate
from queue import Empty, SimpleQueue
from typing import Final

_MAX_LINES: Final = 10_000
_MAX_BYTES: Final = 4 * 1024 * 1024
_RETRY_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 1.0

# Several processes share one pipe. The kernel never mixes writes of this size with those of others (pipe(7)).
_BATCH_BYTES: Final = select.PIPE_BUF


class _End:
    """The last thing that a thread takes from the queue."""


_Item = bytes | threading.Event | _End


def _count_nothing(_: int) -> None:
    """Ignore what is lost."""


class LogWriter:
    """Write lines to the file descriptor `output`, in order, from a thread that starts with the first line.

    Lines are dropped while `max_lines` or `max_bytes` wait, or if the write fails, and counted. As soon as a write
    succeeds again, `describe_loss` gives the line that reports how many. A forked process begins with an empty queue.
    """

    def __init__(
        self,
        output: int,
        describe_loss: Callable[[int], str],
        *,
        max_lines: int = _MAX_LINES,
        max_bytes: int = _MAX_BYTES,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self.output: Final = output
        self._describe_loss: Final = describe_loss
        self._max_lines: Final = max_lines
        self._max_bytes: Final = max_bytes
        self._retry_seconds: Final = retry_seconds
        self._count_lost: Callable[[int], None] = _count_nothing
        self._begin()
        begin = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin(self) -> None:
        """Begin with nothing: another process's lines and locks are not ours."""
        self._lock = threading.RLock()  # a signal handler or a finaliser may log while its thread logs
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._held: _Item | None = None
        self._thread: threading.Thread | None = None
        self._lines = self._bytes = 0
        self._lost = self._unreported = 0
        self._is_torn = False

    def count_losses(self, count: Callable[[int], None]) -> None:
        """Pass the number of lost lines to `count` from now on, and those lost so far."""
        with self._lock:
            self._count_lost = count
            if self._lost:
                count(self._lost)

    def write(self, line: str) -> None:
        """Queue a line, without its end. Never raises and never waits."""
        try:
            data = line.encode(errors="backslashreplace") + b"\n"
        except MemoryError:
            self.lose(1)
            return
        with self._lock:
            if self._lines >= self._max_lines or self._bytes + len(data) > self._max_bytes:
                self.lose(1)
                return
            self._lines += 1
            self._bytes += len(data)
            self._queue.put(data)
            self._ensure_thread()

    def lose(self, lines: int) -> None:
        """Count lines that are lost."""
        with self._lock:
            self._lost += lines
            self._unreported += lines
            self._count_lost(lines)

    def flush(self, seconds: float = _FLUSH_SECONDS) -> bool:
        """Wait until all lines queued so far are written or lost, at most `seconds`. Return whether they are."""
        with self._lock:
            if not self._lines and not self._unreported:
                return True
            if sys.is_finalizing() or threading.current_thread() is self._thread:
                return False
            self._ensure_thread()
            done = threading.Event()
            self._queue.put(done)
        return done.wait(seconds)

    def close(self, seconds: float = _FLUSH_SECONDS) -> None:
        """Flush, and let the thread end. A later line starts another one."""
        self.flush(seconds)
        self._queue.put(_End())
        if self._thread is not None:
            self._thread.join(seconds)

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._keep_writing, name="log-writer", daemon=True)
        # A signal that this thread receives might not wake up the main thread, which handles it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        except RuntimeError:  # no more threads: the lines wait for the next attempt
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._thread = thread

    def _keep_writing(self) -> None:
        while not isinstance(item := self._next(), _End):
            if isinstance(item, bytes):
                self._write_lines(self._take_batch(item))
                continue
            if self._unreported:
                self._report_loss()
            if item is not None:
                item.set()

    def _next(self) -> _Item | None:
        """Give what is next in the queue; None if a loss is to be reported and nothing comes."""
        if (held := self._held) is not None:
            self._held = None
            return held
        try:
            return self._queue.get(timeout=self._retry_seconds if self._unreported else None)
        except Empty:
            return None

    def _take_batch(self, first: bytes) -> list[bytes]:
        lines, size = [first], len(first)
        with suppress(Empty):
            while True:
                item = self._queue.get_nowait()
                if not isinstance(item, bytes) or size + len(item) > _BATCH_BYTES:
                    self._held = item
                    break
                lines.append(item)
                size += len(item)
        return lines

    def _write_lines(self, lines: list[bytes]) -> None:
        written = 0
        if not self._unreported or self._report_loss():
            written = self._write(b"".join(lines))
        ends = list(accumulate(map(len, lines)))
        whole = sum(end <= written for end in ends)
        with self._lock:
            self._lines -= len(lines)
            self._bytes -= ends[-1]
            if whole < len(lines):
                self.lose(len(lines) - whole)

    def _report_loss(self) -> bool:
        lost = self._unreported
        report = self._describe_loss(lost).encode() + b"\n"
        if self._write(report) < len(report):
            return False
        with self._lock:
            self._unreported -= lost
        return True

    def _write(self, data: bytes) -> int:
        """Write, waiting as long as it takes, and return how many bytes were accepted."""
        written, torn = 0, b"\n" if self._is_torn else b""
        view = memoryview(torn + data)
        try:
            while written < len(view):
                written += self._write_some(view[written:])
        except OSError:  # nobody reads, the disk is full or broken
            pass
        if written:
            self._is_torn = view[written - 1] != ord("\n")
        return max(0, written - len(torn))

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self.output, data)
        except BlockingIOError:  # somebody who shares the descriptor made it non-blocking
            ready = select.poll()
            ready.register(self.output, select.POLLOUT)
            ready.poll(1000 * self._retry_seconds)
            return 0


class LogStream(io.TextIOBase):
    """A text stream over the log writer, for what is printed to standard error: tracebacks of a dying process."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer: Final = writer
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Queue all lines that are complete."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._writer.write(line)
        return len(text)

    def flush(self) -> None:
        """Wait until all is written, but not in an event loop."""
        begun, self._begun = self._begun, ""
        if begun:
            self._writer.write(begun)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._writer.flush()

    def fileno(self) -> int:
        """Give the descriptor of the log writer."""
        return self._writer.output

    def isatty(self) -> bool:
        """Tell whether a person reads it."""
        return os.isatty(self._writer.output)

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

"""Streams of one gateway: hot reads beside them, memory and CPU of idle ones, and CPU of a change for each.

Run: .venv/bin/python -m bench.streams [--rounds 7] [--seconds 2] [--idle 60]

Wants wrk. One core serves, the other one has the load, the readers and the upstream. Reads alone and beside 250 streams
alternate, so that other load on the machine affects both.
"""

import os
import selectors
import socket
import statistics
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from app.access.callers import hash_key
from app.cli.key import format_client
from bench.contenders import KEY, LOAD_CORE, MERCHANT, Contender, Stage, free_port, put_merchant
from bench.hot import cpu_seconds, run_wrk
from bench.results import record

STREAMS: Final = 250
MANY: Final = 1_000
EVENTS: Final = 40
IDLE: Final = f"/v1/watch?merchantId={MERCHANT}&within=35"
MOVING: Final = f"/v1/watch?merchantId={MERCHANT}&within=5"
ALONE, BESIDE_IDLE, BESIDE_MOVING = "alone", "beside idle streams", "beside moving streams"
PATIENCE_SECONDS: Final = 60.0


class Readers:
    """Read streams in a thread, and count what they are sent."""

    def __init__(self, port: int, target: str) -> None:
        self.counts = dict.fromkeys((b"event: balances", b"event: synced"), 0)
        self._port: Final = port
        self._request: Final = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
        self._selector: Final = selectors.DefaultSelector()
        self._wires: Final[list[socket.socket]] = []
        self._over = False
        self._thread: Final = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def open(self, count: int) -> None:
        """Open so many more streams, and wait until each is synced."""
        for _ in range(count):
            wire = socket.create_connection(("127.0.0.1", self._port))
            wire.sendall(self._request)
            self._wires.append(wire)
            self._selector.register(wire, selectors.EVENT_READ)
        self.until(b"event: synced", len(self._wires))

    def until(self, event: bytes, count: int) -> None:
        """Wait until so many events of a name have come."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self.counts[event] < count:
            if time.monotonic() > until or not self._thread.is_alive():
                raise AssertionError(f"{self.counts} of {count}")
            time.sleep(0.005)

    def close(self) -> None:
        """Leave all streams."""
        self._over = True
        self._thread.join()
        for wire in self._wires:
            wire.close()

    def _read(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.05):
                data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                if not data:
                    raise AssertionError("a stream ended")
                for event in self.counts:
                    self.counts[event] += data.count(event)


def main() -> None:
    """Measure, print a report, and write `results.json`."""
    options = _read_options()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ours, control = _start(Stage(stack, Path(folder)), Path(folder))
        found = {
            "idle_bytes": _measure_memory(ours),
            "rates": _compare_reads(ours, control, options),
            "event_microseconds": _measure_events(ours, control),
            "idle_cpu_shares": _measure_idle(ours, options.idle),
        }
    record({"streams": found})
    print("\n".join(_report(found)))


def _read_options() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--idle", type=int, default=60, help="seconds for which idle streams are measured")
    return parser.parse_args()


def _start(stage: Stage, folder: Path) -> tuple[Contender, int]:
    """Start an upstream, and a gateway whose caller may have many streams. Return it and the upstream's control port."""
    clients, control = folder / "watching.toml", free_port()
    clients.write_text(format_client("bench", hash_key(KEY), "all", portfolio=True) + f"streams = {MANY}\n")
    upstream = stage.start_upstream(control=control)
    settings = {"STREAMS": MANY, "CONNECTIONS": 3 * MANY, "CLIENTS_FILE": clients}
    return stage.tallygate(upstream, more=settings), control


@contextmanager
def _reading(ours: Contender, target: str, count: int) -> Iterator[Readers]:
    readers = Readers(ours.port, target)
    try:
        readers.open(count)
        yield readers
    finally:
        readers.close()


def _measure_memory(ours: Contender) -> dict[str, float]:
    """Return the bytes that an idle stream takes, by resident memory of a gateway that has had a few before."""
    with _reading(ours, IDLE, 3):
        pass
    time.sleep(1)
    before = _resident_bytes(*ours.pids)
    found = {}
    with _reading(ours, IDLE, STREAMS) as readers:
        time.sleep(1)
        found[str(STREAMS)] = (_resident_bytes(*ours.pids) - before) / STREAMS
        readers.open(MANY - STREAMS)
        time.sleep(1)
        found[str(MANY)] = (_resident_bytes(*ours.pids) - before) / MANY
    return found


def _compare_reads(ours: Contender, control: int, options: Namespace) -> dict[str, list[float]]:
    """Return hot reads a second: alone, beside idle streams, and beside streams of a merchant that moves each round."""
    rates: dict[str, list[float]] = {ALONE: [], BESIDE_IDLE: [], BESIDE_MOVING: []}
    for number in range(options.rounds):
        rates[ALONE].append(run_wrk(ours, options.seconds).per_second)
        with _reading(ours, IDLE, STREAMS):
            rates[BESIDE_IDLE].append(run_wrk(ours, options.seconds).per_second)
        with _reading(ours, MOVING, STREAMS):
            put_merchant(control, f"{number + 1}.5")
            rates[BESIDE_MOVING].append(run_wrk(ours, options.seconds).per_second)
    return rates


def _measure_events(ours: Contender, control: int) -> float:
    """Return the microseconds of CPU that a change takes for each stream that it is written to."""
    alone = _make_events(ours, control, "1")
    with _reading(ours, IDLE, STREAMS) as readers:
        beside = _make_events(ours, control, "2", readers)
    return (beside - alone) / EVENTS / STREAMS * 1e6


def _make_events(ours: Contender, control: int, prefix: str, readers: Readers | None = None) -> float:
    """Change a balance again and again, and return the seconds of CPU that the gateway took."""
    before, wire = cpu_seconds(*ours.pids), HTTPConnection("127.0.0.1", ours.port)
    seen = 0 if readers is None else readers.counts[b"event: balances"]
    for number in range(EVENTS):
        put_merchant(control, f"{prefix}.{number}5")
        wire.request("GET", ours.path, headers={**ours.headers, "Cache-Control": "no-cache"})
        wire.getresponse().read()
        if readers is not None:
            readers.until(b"event: balances", seen + (number + 1) * STREAMS)
    return cpu_seconds(*ours.pids) - before


def _measure_idle(ours: Contender, seconds: int) -> dict[str, float]:
    """Return the share of a core that the gateway takes without streams, and with idle ones."""
    found = {}
    for name, count in (("none", 0), ("idle", STREAMS)):
        with _reading(ours, IDLE, count):
            time.sleep(1)
            before = cpu_seconds(*ours.pids)
            time.sleep(seconds)
            found[name] = (cpu_seconds(*ours.pids) - before) / seconds
    return found


def _resident_bytes(*pids: int) -> int:
    """Return the resident memory of processes and of all below them."""
    total = 0
    for pid in pids:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        total += pages * os.sysconf("SC_PAGE_SIZE") + _resident_bytes(*map(int, below))
    return total


def _report(found: dict[str, Any]) -> Iterable[str]:
    yield "\n| hot reads | a second, median | of those alone, median | least to most |\n|---|--:|--:|--:|"
    rates = found["rates"]
    for name, seen in rates.items():
        ratios = [beside / alone for alone, beside in zip(rates[ALONE], seen, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        yield f"| {name} | {statistics.median(seen):,.0f} | {statistics.median(ratios):.3f} | {spread} |"
    for count, taken in found["idle_bytes"].items():
        yield f"an idle stream, of {count}: {taken / 1024:.1f} KiB"
    shares = found["idle_cpu_shares"]
    yield f"CPU with {STREAMS} idle streams {shares['idle']:.2%} of a core, without {shares['none']:.2%}"
    yield f"CPU of a change for each stream: {found['event_microseconds']:.1f} µs"


if __name__ == "__main__":
    main()

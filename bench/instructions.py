"""Instructions of each kind of read, counted by callgrind, which a busy machine does not disturb.

Run: .venv/bin/python -m bench.instructions [--rounds 3] [--only "first read"] [--record]

Compares with `instructions.json`, and exits 1 if a figure grew by more than 3 %. With `--record` it replaces that file.
Wants valgrind and gcc (Debian: apt-get install valgrind gcc), and an optimised CPython. The server's own work is left out.
"""

import argparse
import json
import mmap
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from app.access.callers import hash_key
from app.cli.key import format_client
from app.redis.embedded import EmbeddedValkey
from bench.contenders import KEY, ROOT, TOKEN, Stage
from bench.instructions_driver import FRESH_SECONDS, Operation
from sandbox.scenarios import FIRST_MERCHANT

FIGURES: Final = Path(__file__).with_suffix(".json")
CLOCK: Final = Path(__file__).with_name("instructions_clock.c")
GROWTH: Final = 1.03
SCALE: Final = 5
"""How much slower the clock goes: so that a fetch takes about the two milliseconds that it takes without callgrind."""

NOTHING: Final = Operation("nothing", 1000, 200, is_empty=True)
OPERATIONS: Final = (
    NOTHING,
    Operation("hot, 200", 2000, 200),
    Operation("hot, 304", 2000, 200, headers=(("if-none-match", "*"),), status=304),
    Operation("no-cache", 400, 300, first=FIRST_MERCHANT, ids=50, headers=(("cache-control", "no-cache"),)),
    Operation("no-cache, 32 at once", 640, 320, 32, FIRST_MERCHANT, 64, (("cache-control", "no-cache"),)),
    Operation("first read", 400, 20, first=FIRST_MERCHANT + 1_000, ids=1_000),
    Operation("first read, 32 at once", 640, 64, 32, FIRST_MERCHANT + 2_000, 1_000),
    Operation("refresh", 400, first=FIRST_MERCHANT + 4_000, ids=400, is_stale=True),
    Operation("refresh, 32 at once", 640, 0, 32, FIRST_MERCHANT + 5_000, 640, is_stale=True),
)


def main() -> int:
    """Count, print a table in Markdown, and compare with the figures on record. Return the exit code."""
    options = _read_options()
    if missing := [name for name in ("valgrind", "gcc") if shutil.which(name) is None]:
        print(f"Missing: {', '.join(missing)} (Debian: apt-get install valgrind gcc).")
        return 2
    chosen = [one for one in OPERATIONS if one is NOTHING or not options.only or one.name == options.only]
    rounds = [_count(chosen) for _ in range(options.rounds)]
    found = {name: min(each[name] for each in rounds) for name in rounds[0]}
    known: dict[str, int] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    print(f"CPython {platform.python_version()}")
    print("\n".join(_report(found, known)))
    if options.record:
        FIGURES.write_text(json.dumps(known | found, indent=1) + "\n", encoding="utf-8")
        return 0
    return int(any(count > GROWTH * known.get(name, count) for name, count in found.items()))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[one.name for one in OPERATIONS[1:]])
    parser.add_argument("--rounds", type=int, default=3, help="the least of so many counts")
    parser.add_argument("--record", action="store_true")
    return parser.parse_args()


def _count(operations: Sequence[Operation]) -> dict[str, int]:
    """Return the instructions of each operation, less those of the driver."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        library = folder / "clock.so"
        command = ["gcc", "-O2", "-fPIC", "-shared", "-o", str(library), str(CLOCK), "-ldl", "-lpthread"]
        subprocess.run(command, check=True)
        environment = os.environ | {"LD_PRELOAD": str(library), "BENCH_CLOCK": str(_make_clock(folder / "clock"))}
        upstream = Stage(stack, folder).start_upstream("--merchants=12000")
        redis = _start_valkey(stack, environment)
        (folder / "app").mkdir()
        dumps = folder / "dumps"
        dumps.mkdir()
        callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "-q", f"--callgrind-out-file={dumps}/out"]
        words = [str(library), str(folder / "app"), str(SCALE), msgspec.json.encode(operations).decode()]
        subprocess.run(
            [*callgrind, sys.executable, "-m", "bench.instructions_driver", *words],
            cwd=ROOT,
            env={**environment, **_settings(folder, upstream, redis)},
            check=True,
            timeout=1800,
        )
        by_name = {one.name: one for one in operations}
        counts = {name: total / by_name[name].count for name, total in _read(dumps)}
    own = counts.pop(NOTHING.name)
    return {name: round(counts[name] - own) for name in by_name if name in counts}


def _make_clock(path: Path) -> Path:
    """Make the page in which the clock's scale is kept: the time as it is, at first."""
    with path.open("wb") as file:
        file.write(struct.pack("<5q", 0, 0, 0, 0, 1) * 2 + struct.pack("<i", 0))
        file.truncate(mmap.PAGESIZE)
    return path


def _start_valkey(stack: ExitStack, environment: Mapping[str, str]) -> str:
    """Start a Valkey that follows the clock, and return its URL."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        return stack.enter_context(EmbeddedValkey()).url
    finally:
        os.environ.clear()
        os.environ.update(before)


def _settings(folder: Path, upstream: int, redis: str) -> dict[str, str]:
    clients = folder / "clients.toml"
    clients.write_text(format_client("bench", hash_key(KEY), "all", portfolio=True))
    settings = {
        "UPSTREAM_URL": f"http://127.0.0.1:{upstream}",
        "UPSTREAM_TOKEN": TOKEN,
        "UPSTREAM_RATE": 100_000,
        "UPSTREAM_BURST": 10_000,
        "UPSTREAM_CONCURRENCY": 100,
        "UPSTREAM_TIMEOUT_SECONDS": 30,
        "REQUEST_TIMEOUT_SECONDS": 60,
        "REDIS_URL": redis,
        "REDIS_TIMEOUT_SECONDS": 2,
        "CLIENTS_FILE": clients,
        "FRESH_SECONDS": FRESH_SECONDS,
        "LOG_LEVEL": "warning",
    }
    return {f"TALLYGATE_{name}": str(value) for name, value in settings.items()} | {"PYTHONHASHSEED": "0"}


def _read(dumps: Path) -> Iterable[tuple[str, int]]:
    """Read name and total of each dump of callgrind."""
    for path in dumps.iterdir():
        text = path.read_text(errors="replace")
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if name and total:
            yield name[1], int(total[1])


def _report(found: Mapping[str, int], known: Mapping[str, int]) -> Iterable[str]:
    yield "\n| read | thousand instructions | on record | of it |\n|---|--:|--:|--:|"
    for name, count in found.items():
        before = known.get(name)
        compared = "| |" if before is None else f"{before / 1000:,.1f} | {count / before:.3f} |"
        yield f"| {name} | {count / 1000:,.1f} | {compared}"


if __name__ == "__main__":
    sys.exit(main())

"""Startup time and idle memory, beside an interpreter and a bare application on the same server.

Run: .venv/bin/python -m bench.startup [--rounds 5]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.contenders import Contender, Stage
from bench.hot import BARE, OURS, read_options
from bench.results import record

IMPORTS: Final = {
    "an interpreter": "",
    "the libraries": "import httptools, httpx, litestar, msgspec, redis.asyncio, structlog, uvloop",
    "Tallygate": "import app.server.workers",
}
_TIMED: Final = "import time; began = time.process_time(); {}; print(time.process_time() - began)"


def main() -> None:
    """Measure, print a table in Markdown, and write `results.json`."""
    options = read_options(__doc__, seconds=2)
    imports: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(options.rounds):
        for name, statement in IMPORTS.items():
            imports[name].append(_time_import(statement or "pass"))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(stack, Path(folder))
        ours = stage.tallygate(stage.start_upstream())
        bare = stage.bare(BARE, 204, [], "")
        time.sleep(options.seconds)
        memory = {OURS: _worker_mebibytes(ours), BARE: _worker_mebibytes(bare)}
    record({"import_cpu_seconds": imports, "idle_worker_mebibytes": memory})
    print("\n".join(_report(imports, memory)))


def _time_import(statement: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _worker_mebibytes(contender: Contender) -> float:
    """Return the proportional set size of the worker in MiB: pages shared with others count by their share."""
    (pid,) = contender.pids
    workers = [
        child
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        if Path(f"/proc/{child}/exe").resolve() == Path(sys.executable).resolve()
    ]
    rollups = (Path(f"/proc/{worker}/smaps_rollup").read_text(encoding="ascii") for worker in workers)
    return sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) / 1024


def _report(imports: dict[str, list[float]], memory: dict[str, float]) -> Iterable[str]:
    yield "\n| CPU of imports | s, median | least to most |\n|---|--:|--:|"
    for name, seconds in imports.items():
        yield f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f} |"
    yield "\n| an idle worker | MiB (proportional set) |\n|---|--:|"
    for name, mebibytes in memory.items():
        yield f"| {name} | {mebibytes:.0f} |"


if __name__ == "__main__":
    main()

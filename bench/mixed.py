"""Mixed load: 1,000 merchants by Zipf's law, one request in a hundred for a new one, balances that move.

Run: .venv/bin/python -m bench.mixed [--rounds 5] [--seconds 4]

All contenders keep answers fresh for five seconds and fetch again from then on. `bench.hot` describes their setup.
"""

import os
import statistics
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import to_builtins

from bench.contenders import LOAD_CORE, TEMPLATE, UPSTREAM_PATH, UPSTREAM_TEMPLATE, Contender, Stage
from bench.hot import OURS, Load, read_options, run_wrk
from bench.results import record
from sandbox.scenarios import FIRST_MERCHANT

SCRIPT: Final = Path(__file__).with_suffix(".lua")
POPULAR: Final = 1_000
MERCHANTS: Final = 20_000
MOVES_PER_SECOND: Final = 200


def main() -> None:
    """Measure, print a table in Markdown, and write `results.json`."""
    options = read_options(__doc__, seconds=4)
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(stack, Path(folder))
        contenders = _start(stage)
        seen: dict[str, list[Load]] = {each.name: [] for each in contenders}
        unknown = FIRST_MERCHANT + POPULAR
        for number in range(1 + options.rounds):
            for each in contenders:
                load = _load(each, unknown, options.seconds)
                if number > 0:  # in the first round all are unknown
                    seen[each.name].append(load)
            unknown += (MERCHANTS - POPULAR) // (1 + options.rounds)
    record({"mixed": to_builtins(seen)})
    print("\n".join(_report(seen)))
    for missing in stage.missing:
        print(f"Missing, and so not measured: {missing}.")


def _start(stage: Stage) -> list[Contender]:
    upstream = stage.start_upstream(f"--merchants={MERCHANTS}", f"--moves-per-second={MOVES_PER_SECOND}")
    contenders = [
        stage.tallygate(upstream),
        stage.nginx(upstream),
        stage.varnish(upstream),
        *stage.afternoons(upstream),
    ]
    return [each for each in contenders if each is not None]


def _load(contender: Contender, unknown: int, seconds: int) -> Load:
    template = UPSTREAM_TEMPLATE if contender.path == UPSTREAM_PATH else TEMPLATE
    return run_wrk(contender, seconds, str(SCRIPT), template, str(FIRST_MERCHANT), str(POPULAR), str(unknown))


def _report(seen: dict[str, list[Load]]) -> Iterable[str]:
    yield "\n| mixed load | answers/s, median | least to most | p50 ms | p99 ms | Tallygate's rate to it |\n|---|--:|--:|--:|--:|--:|"
    ours = [each.per_second for each in seen[OURS]]
    for name, rounds in seen.items():
        rates = [each.per_second for each in rounds]
        ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, rates, strict=True))
        p50, p99 = (statistics.median(getattr(each, quantile) for each in rounds) for quantile in ("p50", "p99"))
        spread = f"{statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f}"
        yield f"| {name} | {spread} | {p50:.2f} | {p99:.2f} | {ratio:.2f} |"


if __name__ == "__main__":
    main()

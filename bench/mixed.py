"""Mixed load: 1,000 merchants by Zipf's law, one request in a hundred for a new one, balances that always move.

Run: .venv/bin/python -m bench.mixed [--rounds 3] [--seconds 8] [--rate 3000]

Each contender gets the same seeded requests. Its turn begins with `WARM_SECONDS` of them that are not counted, so that
it is in its steady state whatever came before. Then they come at an even rate, and at last as fast as it answers. The
server has one core, and the load the other. `bench.hot` describes the rest of the setup.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct, to_builtins

from bench.contenders import LOAD_CORE, TEMPLATE, UPSTREAM_PATH, UPSTREAM_TEMPLATE, Contender, Stage
from bench.hot import OURS, cpu_seconds
from bench.results import record
from bench.seeded_load import OLD_SECONDS, SeededLoad, Seen, choose_merchants
from sandbox.scenarios import FIRST_MERCHANT

POPULAR: Final = range(FIRST_MERCHANT, FIRST_MERCHANT + 1_000)
WARM_SECONDS: Final = 8.0
CLOSED_SECONDS: Final = 3.0
_NEW_EACH_TURN: Final = 100_000


class Turn(Struct, frozen=True):
    """What one contender did in one round."""

    cpu_microseconds: float
    per_second: float
    p50: float
    p99: float
    age_p50: float
    age_p99: float
    old: float
    calls: float
    failed: int


def main() -> None:
    """Measure, print a table in Markdown, and write `results.json`. Raises `AssertionError` if our Redis was lost."""
    options = _read_options()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(stack, Path(folder))
        upstream = stage.start_lean_upstream()
        contenders = _start(stage, upstream)
        seen: dict[str, list[Turn]] = {each.name: [] for each in contenders}
        for number in range(options.rounds):
            for each in contenders:
                seen[each.name].append(uvloop.run(_take_turn(each, upstream, number, options)))
        if "redis.lost" in stage.said:
            raise AssertionError(f"Redis was lost, so that nothing here counts: {stage.said[-500:]}")
    record({"mixed": to_builtins(seen)})
    print("\n".join(_report(seen)))
    for missing in stage.missing:
        print(f"Missing, and so not measured: {missing}.")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rate", type=int, default=3_000)
    return parser.parse_args()


def _start(stage: Stage, upstream: int) -> list[Contender]:
    strict = {"STALE_WHILE_REVALIDATE_SECONDS": 0}
    contenders = [
        stage.tallygate(upstream),
        stage.tallygate(upstream, name="Tallygate, Redis on the other core", redis=stage.start_redis(LOAD_CORE)),
        stage.tallygate(upstream, name="Tallygate, two workers", workers=2),
        stage.tallygate(upstream, name="Tallygate, nothing stale", more=strict),
        stage.tallygate(upstream, name="Tallygate, no history", more={"HISTORY_SECONDS": 0}),
        stage.nginx(upstream),
        stage.varnish(upstream),
        *stage.fastify(upstream),
    ]
    return [each for each in contenders if each is not None]


async def _take_turn(contender: Contender, upstream: int, number: int, options: argparse.Namespace) -> Turn:
    template = UPSTREAM_TEMPLATE if contender.path == UPSTREAM_PATH else TEMPLATE
    merchants = choose_merchants(number, POPULAR, POPULAR.stop + number * _NEW_EACH_TURN)
    load = SeededLoad(contender.port, template, contender.headers, merchants)
    await load.connect()
    await load.run_evenly(options.rate, WARM_SECONDS)
    calls, cpu = _count_calls(upstream), cpu_seconds(*contender.pids)
    even = await load.run_evenly(options.rate, options.seconds)
    calls, cpu = _count_calls(upstream) - calls, cpu_seconds(*contender.pids) - cpu
    closed = await load.run_closed(CLOSED_SECONDS)
    await load.close()
    return _sum_up(even, closed, calls, cpu)


def _sum_up(even: Seen, closed: Seen, calls: int, cpu: float) -> Turn:
    useful = len(even.milliseconds)
    if not useful or not closed.milliseconds:
        raise AssertionError(f"no answers: {even.failed} and {closed.failed} failed")
    times, ages = sorted(even.milliseconds), sorted(even.ages)
    return Turn(
        cpu_microseconds=cpu / useful * 1e6,
        per_second=len(closed.milliseconds) / closed.seconds,
        p50=times[useful // 2],
        p99=times[useful * 99 // 100],
        age_p50=ages[useful // 2],
        age_p99=ages[useful * 99 // 100],
        old=sum(age > OLD_SECONDS for age in ages) / useful,
        calls=calls / useful,
        failed=even.failed + closed.failed,
    )


def _count_calls(upstream: int) -> int:
    wire = HTTPConnection("127.0.0.1", upstream)
    wire.request("GET", "/calls")
    count = int(wire.getresponse().read())
    wire.close()
    return count


def _report(seen: dict[str, list[Turn]]) -> Iterable[str]:
    yield (
        "\n| mixed load | CPU µs an answer | of ours | answers/s | p50 ms | p99 ms | age, median s | age, p99 s | older than "
        f"{OLD_SECONDS:g} s | calls an answer | failed |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for name, turns in seen.items():
        ratio = statistics.median(
            theirs.cpu_microseconds / ours.cpu_microseconds for ours, theirs in zip(seen[OURS], turns, strict=True)
        )
        each = {field: statistics.median(getattr(turn, field) for turn in turns) for field in Turn.__struct_fields__}
        yield (
            f"| {name} | {each['cpu_microseconds']:.0f} | {ratio:.2f} | {each['per_second']:,.0f} | {each['p50']:.2f} | "
            f"{each['p99']:.2f} | {each['age_p50']:.1f} | {each['age_p99']:.1f} | {each['old']:.1%} | {each['calls']:.4f} | "
            f"{sum(turn.failed for turn in turns)} |"
        )


if __name__ == "__main__":
    main()

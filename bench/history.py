"""History against a known truth: a million looks in virtual time, and no claim of what was not so.

    .venv/bin/python -m bench.history [--looks 1000000] [--seed 1] [--scenario restless] [--exact-clocks]

Runs a Valkey of its own. Prints a line after each tenth, and exits with 1 if a claim was wrong.
"""

import argparse
import asyncio
import sys
import time
from typing import get_args

from app.redis.embedded import EmbeddedValkey
from bench.history_walk import Walk, WalkOptions
from sandbox.scenarios import Scenario

_ASK_EVERY = 10
"""So many rounds of looks lie between two rounds of questions."""


async def run(options: WalkOptions, looks: int) -> bool:
    """Walk so many looks, with questions in between. Return whether no claim was wrong."""
    walk, rounds, next_line, began = Walk(options), 0, looks // 10, time.monotonic()
    outcome = walk.outcome
    while outcome.looks < looks:
        await walk.look_around()
        rounds += 1
        if rounds % _ASK_EVERY == 0:
            await walk.ask(min(25, options.merchants), 10)
            await walk.compare_changes(1)
        if outcome.looks >= next_line:
            next_line += looks // 10
            seconds = time.monotonic() - began
            line = f"{outcome.looks:>9,} looks in {seconds:>4.0f} s; claims {dict(outcome.claims)}; wrong {len(outcome.wrong)}\n"
            sys.stdout.write(line)
            sys.stdout.flush()
    await walk.close()
    sys.stdout.writelines(f"wrong: {what}\n" for what in outcome.wrong[:20])
    return not outcome.wrong


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.history")
    parser.add_argument("--looks", type=int, default=1_000_000)
    parser.add_argument("--merchants", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", choices=get_args(Scenario), default="restless")
    parser.add_argument("--exact-clocks", action="store_true", help="no clock errs")
    given = parser.parse_args()
    with EmbeddedValkey() as valkey:
        options = WalkOptions(
            redis_url=valkey.url,
            scenario=given.scenario,
            seed=given.seed,
            merchants=given.merchants,
            clocks_err_ms=0 if given.exact_clocks else 450,
        )
        return 0 if asyncio.run(run(options, given.looks)) else 1


if __name__ == "__main__":
    sys.exit(main())

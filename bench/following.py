"""Follow the feed of changes while replicas are killed and Redis suffers: each change comes once, or its loss is told.

    .venv/bin/python -m bench.following [--faults 100] [--seed 1]

Runs gateways, a Valkey and the sandbox. Prints each fault and the count of changes; exits with 1 for a broken promise.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from sandbox import Sandbox
from tests.support.feed_follower import run_beside
from tests.support.followed_fleet import Stage
from tests.support.gateway import TOKEN, free_port
from tests.support.valkey import run_valkey


async def run(faults: int, random: Random) -> bool:
    """Let so many faults happen, three of four of them kills. Return whether all promises were held."""
    async with Sandbox(token=TOKEN) as upstream, run_valkey(free_port()) as valkey, AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage(upstream, valkey, folder, stack)
        await asyncio.gather(stage.start(), stage.start())
        follower = stage.follower
        kinds = [stage.replace_one] * 9 + [stage.empty, stage.come_back_older, stage.fill]
        for number in range(1, faults + 1):
            fault = random.choice(kinds)
            await run_beside(stage.mover, follower, fault)
            sys.stdout.write(f"{number:>4} {fault.__name__:<16}{len(follower.told):>8} changes {dict(follower.ends)}\n")
            sys.stdout.flush()
            if follower.twice or follower.missing:
                sys.stdout.write(f"twice: {follower.twice}; missing: {follower.missing}\n")
                return False
        sys.stdout.write(f"answers to reads: {dict(stage.mover.statuses)}\n")
        return set(stage.mover.statuses) == {200}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.following")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return 0 if asyncio.run(run(given.faults, Random(given.seed))) else 1


if __name__ == "__main__":
    sys.exit(main())

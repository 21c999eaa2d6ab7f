"""Cuts, kills and drains of streams in virtual time: the last event of each merchant must be its newest snapshot.

Run: .venv/bin/python -m bench.streams_cuts [--cuts 10000] [--seed 0]

Real gateways' parts run over a fake Redis, in one process. Every second walk has a history, so that readers resume.
Raises at the first event that is not the newest, after printing the seed of its walk.
"""

import argparse
import asyncio
import logging
import time
from collections import Counter
from random import Random

import structlog

from tests.support.cuts import Walk
from tests.support.replica import Upstream
from tests.support.virtual_time import VirtualLoop

WALK = 250


def main() -> None:
    """Walk, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    done, began = Counter[str](), time.perf_counter()
    for seed in range(options.seed, options.seed + -(-options.cuts // WALK)):
        walk = Walk(Upstream(), Random(seed), has_history=seed % 4 != 3)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            try:
                runner.run(walk.run(WALK))
            except BaseException:
                print(f"the walk with the seed {seed} failed, after {dict(walk.done)}")
                raise
        done += walk.done
    print(f"{dict(done)} in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()

"""The sandbox: a simulated upstream to develop, test and measure against.

As a program, `python -m sandbox`, with a second port that controls it; in a test:

    async with Sandbox(scenario="document") as sandbox:
        with sandbox.fault("latency", seconds=0.05, merchants=[12345]):
            ...  # call sandbox.url
        await sandbox.calls(2)
        sandbox.world.move()
        assert sandbox.counters.by_merchant[12345] == 2
"""

from sandbox.accounts import Account, Row
from sandbox.counters import Counters
from sandbox.faults import Fault
from sandbox.running import Sandbox
from sandbox.world import World

__all__ = ["Account", "Counters", "Fault", "Row", "Sandbox", "World"]

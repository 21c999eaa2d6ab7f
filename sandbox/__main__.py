"""The command line of the sandbox."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec
import uvloop

from sandbox.events import Delivery
from sandbox.running import Sandbox
from sandbox.scenarios import Scenario
from sandbox.world import World

_LARGEST_PORT = 65535
_TICK_SECONDS = 0.01
"""Moves come in bundles no finer than this."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until SIGINT, SIGTERM or, when asked to, the end of stdin; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return uvloop.run(_run(options, _sandbox(options)))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A simulated upstream. Secrets come from SANDBOX_TOKEN, SANDBOX_API_KEY and SANDBOX_API_SECRET.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="where the upstream listens; control stays on loopback")
    parser.add_argument("--port", type=port, default=8090, help="0 takes any free one")
    parser.add_argument("--control-port", type=port, default=8091, help="0 takes any free one")
    parser.add_argument("--merchants", type=int, default=50, help="how many there are")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same world")
    parser.add_argument("--scenario", choices=get_args(Scenario), default="random", help="the world to begin with")
    parser.add_argument("--moves-per-second", type=float, default=0, help="how fast balances change")
    parser.add_argument("--token-lifetime-seconds", type=float, default=3600, help="of minted tokens")
    parser.add_argument("--new-token-voids-old", action="store_true", help="minting ends the token before")
    parser.add_argument("--latency-ms", type=float, default=0, help="of every answer")
    parser.add_argument("--events-url", help="where an event is sent for each move")
    parser.add_argument("--event-keys-file", type=Path, help="is written: the public key that verifies events")
    parser.add_argument("--stop-on-eof", action="store_true", help="end when stdin closes")
    return parser


def port(text: str) -> int:
    """Read a port number; named for argparse, which shows the name when it raises ValueError."""
    number = int(text)
    if not 0 <= number <= _LARGEST_PORT:  # uvloop would take the rest of it modulo 65536
        raise ValueError
    return number


def _sandbox(options: argparse.Namespace) -> Sandbox:
    return Sandbox(
        scenario=options.scenario,
        merchants=options.merchants,
        seed=options.seed,
        host=options.host,
        port=options.port,
        control_port=options.control_port,
        token=os.environ.get("SANDBOX_TOKEN", "sandbox-token"),
        api_key=os.environ.get("SANDBOX_API_KEY", "sandbox-api-key"),
        api_secret=os.environ.get("SANDBOX_API_SECRET", "sandbox-api-secret"),
        token_lifetime_seconds=options.token_lifetime_seconds,
        new_token_voids_old=options.new_token_voids_old,
        latency_seconds=options.latency_ms / 1000,
        delivery=Delivery(options.events_url),
    )


async def _run(options: argparse.Namespace, sandbox: Sandbox) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.event_keys_file is not None:
        options.event_keys_file.write_text(f"{sandbox.events.public_key}\n")
    async with sandbox:
        if options.stop_on_eof:
            threading.Thread(target=_await_eof, args=(loop, stop), daemon=True).start()
        ready = {"event": "sandbox.ready", "url": sandbox.url, "control": sandbox.control_url}
        sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
        sys.stdout.flush()
        moving = asyncio.create_task(_move(sandbox.world, options.moves_per_second))
        await stop.wait()
        moving.cancel()
        await asyncio.wait([moving])
    return 0


async def _move(world: World, per_second: float) -> None:
    if per_second <= 0:
        return
    loop = asyncio.get_running_loop()
    began, done = loop.time(), 0
    while True:
        await asyncio.sleep(max(1 / per_second, _TICK_SECONDS))
        due = int((loop.time() - began) * per_second)
        for _ in range(due - done):
            world.move()
        done = due


def _await_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # a thread and os.read, because stdin may be anything: a loop watches no files, and a lock on sys.stdin would
    # be held for ever by a thread that ends with the process
    with contextlib.suppress(OSError):
        while os.read(0, 1 << 16):
            pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    sys.exit(main())

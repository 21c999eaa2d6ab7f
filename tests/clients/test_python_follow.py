"""The example that follows the feed has each change once, through restarts of the gateway and of itself."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import KEY, TOKEN, Gateway, free_port, run_gateway
from tests.support.polling import ask_until
from tests.support.rows import row

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "clients/python/examples/follow_changes.py"


@asynccontextmanager
async def _following(url: str, path: Path) -> AsyncIterator[Process]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients/python")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), url, KEY, str(path), env=environment, stderr=DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


def _written(path: Path) -> list[tuple[int, int]]:
    """The merchants and sequences in the file."""
    lines = path.read_bytes() if path.exists() else b""
    pages = [json.loads(line) for line in lines[: lines.rfind(b"\n") + 1].splitlines()]
    assert not any("gap" in page for page in pages)
    return [(change["merchantId"], change["sequence"]) for page in pages for change in page["changes"]]


async def test_each_change_is_written_once_through_restarts_of_gateway_and_program(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    path, port, moved = tmp_path / "changes.jsonl", free_port(), 0

    async def move(gateway: Gateway, times: int) -> None:
        nonlocal moved
        for _ in range(times):
            moved += 1
            for merchant in (11, 12):
                upstream.world.set(merchant, [row(str(moved))])
                answer = await gateway.get(f"/v1/merchants/{merchant}/balances", cache_control="no-cache")
                assert answer.status_code == 200

    async def seen() -> bool:
        await asyncio.sleep(0.05)
        return len(set(_written(path))) >= 2 * moved

    async with Sandbox(scenario="document", token=TOKEN) as upstream:

        def run() -> AbstractAsyncContextManager[Gateway]:
            return run_gateway(upstream, tmp_path, redis_url=valkey.url, port=port, own_session=True)

        url = f"http://127.0.0.1:{port}"
        async with _following(url, path):
            async with run() as gateway:
                await move(gateway, 3)
                await ask_until(seen, bool)
                await move(gateway, 2)
                await gateway.get("/v1/changes?merchantId=all&limit=1")  # which waits until the looks are stored
                os.killpg(gateway.process.pid, signal.SIGKILL)
                await gateway.ended()
            async with run() as gateway:
                await move(gateway, 3)
                await ask_until(seen, bool)
                gateway.signal(signal.SIGTERM)
                assert await gateway.ended() == 0
        with path.open("a") as file:
            file.write('{"cursor":"half a li')
        async with run() as gateway:
            await move(gateway, 3)
            async with _following(url, path):
                await ask_until(seen, bool)
    for merchant in (11, 12):
        assert [number for one, number in _written(path) if one == merchant] == list(range(moved))

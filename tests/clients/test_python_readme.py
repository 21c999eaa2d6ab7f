"""Each example of the Python client's README is a program that runs as it is written there."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.fork_server import inherited
from tests.support.gateway import KEY, PATIENCE_SECONDS, run_gateway

CLIENT = Path(__file__).parents[2] / "clients/python"
EXAMPLES = [part.split("```")[0] for part in (CLIENT / "README.md").read_text().split("```python\n")[1:]]
SAYS = ["USDT 1000", "404404 unknown-merchant", "no such merchant", "live: {12345: FreshPart"]


async def run(program: str, url: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", program),
        env={**inherited(), "PYTHONPATH": str(CLIENT), "GATEWAY_URL": url, "GATEWAY_KEY": KEY},
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        output, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
    return output.decode()


async def test_the_examples_of_the_readme_run(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_gateway(upstream, tmp_path, redis_url=valkey.url) as gateway,
    ):
        said = await asyncio.gather(*[run(program, gateway.url) for program in EXAMPLES])
    for output, wanted in zip(said, SAYS, strict=True):
        assert wanted in output

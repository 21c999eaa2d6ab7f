"""A stage for clients in other languages: the simulated upstream and the gateway, driven by lines on standard input.

`python -m tests.support.client_stage [origin]` writes one line of JSON when all is ready, and one after each command:
`kill`, `drain` and `start` are for the gateway, `lose-redis` for its store. It ends with its standard input. Pages of
the origin may read what the gateway answers.
"""

import asyncio
import json
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from app.access.callers import hash_key
from app.api.problem_kinds import PROBLEMS
from app.cli.key import format_client
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import TOKEN, free_port, listening, serving, start, stop
from tests.support.tokens import URL, sign

KEYS = {name: f"tg_{name}_{secrets.token_hex(8)}" for name in ("all", "one", "slow")}
ISSUER = """
[[issuer]]
name = "away"
issuer = "{url}"
audience = "tallygate"
jwks_url = "http://127.0.0.1:{port}/keys"

[[issuer.rule]]
subject = "somebody"
merchants = [12345]
"""


class Stage:
    """The gateway's process, which can be ended and started again at the same port."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self._environment = environment
        self._port = port
        self._draining: list[asyncio.Task[object]] = []

    async def start(self) -> None:
        self._process = await start(self._environment, "serve")
        self._draining += [asyncio.create_task(drain(each)) for each in (self._process.stdout, self._process.stderr)]
        await listening(self._port)

    async def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        # its workers end with it, and only then is the port free
        await self._process.wait()

    async def drain(self) -> None:
        await stop(self._process)


async def drain(stream: asyncio.StreamReader | None) -> None:
    """Read what nobody wants to see, so that its writer is not held up."""
    while stream is not None and await stream.read(1 << 16):
        pass


def write_clients(folder: Path) -> Path:
    """Write the callers: one who may read all, one who may read merchant 12345 by one stream, one with 2 requests a second.

    An issuer of tokens is away.
    """
    path = folder / "clients.toml"
    texts = (
        format_client("all", hash_key(KEYS["all"]), "all", portfolio=True),
        format_client("one", hash_key(KEYS["one"]), [12345], portfolio=False) + "streams = 1\n",
        format_client("slow", hash_key(KEYS["slow"]), "all", portfolio=True) + "rate = 2\n",
        ISSUER.format(url=URL, port=free_port()),
    )
    path.write_text("\n".join(texts))
    return path


async def lines() -> asyncio.StreamReader:
    """Return standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)  # noqa: T201  # this is how it answers


async def main(origins: str = "") -> None:
    port = free_port()
    with TemporaryDirectory() as folder, ExitStack() as store:
        valkey = store.enter_context(EmbeddedValkey())
        async with Sandbox(scenario="document", token=TOKEN, control_port=0) as upstream:
            environment = serving(
                upstream.url,
                port=port,
                clients_file=write_clients(Path(folder)),
                redis_url=valkey.url,
                drain_seconds=1,
                fresh_seconds=1,
                upstream_timeout_seconds=2,
                cors_origins=origins or None,
            )
            stage = Stage(environment, port)
            await stage.start()
            say(
                url=f"http://127.0.0.1:{port}",
                control=upstream.control_url,
                keys={**KEYS, "token": sign(now=time.time())},
                kinds=[kind.name for kind in PROBLEMS.values()],
            )

            async def lose_redis() -> None:
                store.close()

            acts = {"kill": stage.kill, "drain": stage.drain, "start": stage.start, "lose-redis": lose_redis}
            commands = await lines()
            while command := (await commands.readline()).decode().strip():
                await acts[command]()
                say(done=command)
            await stage.drain()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A stage for clients in other languages: the simulated upstream and the gateway, driven by lines on standard input.

`python -m tests.support.client_stage` writes one line of JSON when all is ready, and one after each command: `kill`,
`drain` and `start` are for the gateway. It ends with its standard input.
"""

import asyncio
import json
import secrets
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from app.access.callers import hash_key
from app.cli.key import format_client
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import TOKEN, free_port, listening, serving, start, stop

KEYS = {name: f"tg_{name}_{secrets.token_hex(8)}" for name in ("all", "one", "slow")}


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
    """Write the callers: one who may read all, one who may read merchant 12345, and one with 2 requests a second."""
    path = folder / "clients.toml"
    texts = (
        format_client("all", hash_key(KEYS["all"]), "all", portfolio=True),
        format_client("one", hash_key(KEYS["one"]), [12345], portfolio=False),
        format_client("slow", hash_key(KEYS["slow"]), "all", portfolio=True) + "rate = 2\n",
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


async def main() -> None:
    port = free_port()
    with TemporaryDirectory() as folder, EmbeddedValkey() as valkey:
        async with Sandbox(scenario="document", token=TOKEN, control_port=0) as upstream:
            clients = write_clients(Path(folder))
            environment = serving(
                upstream.url, port=port, clients_file=clients, redis_url=valkey.url, drain_seconds=1, fresh_seconds=1
            )
            stage = Stage(environment, port)
            await stage.start()
            say(url=f"http://127.0.0.1:{port}", control=upstream.control_url, keys=KEYS)
            commands = await lines()
            while command := (await commands.readline()).decode().strip():
                await {"kill": stage.kill, "drain": stage.drain, "start": stage.start}[command]()
                say(done=command)
            await stage.drain()


if __name__ == "__main__":
    asyncio.run(main())

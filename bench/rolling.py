"""Rolling restart of two gateways behind nginx, with deploy/nginx/nginx.conf, under steady load: no request may fail.

    .venv/bin/python -m bench.rolling [--rate 500] [--rounds 3] [--kill]

Needs nginx. With `--kill` the gateways get SIGKILL instead of SIGTERM. Exits with 1 if a request failed or a gateway
did not end well.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import create_server
from time import perf_counter

from app.access.callers import hash_key, make_key
from app.cli.key import format_client
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox

ROOT = Path(__file__).parents[1]
CONNECTIONS = 20
UPSTREAM = "upstream gateways {{ zone gateways 64k; {servers} keepalive 32; }}\n"


class Load:
    """Send requests at a steady rate over persistent connections, and keep the failures."""

    def __init__(self, port: int, key: str, per_second: float) -> None:
        self._port = port
        self._request = (
            f"GET /v1/merchants/12345/balances HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        ).encode()
        self._pause_seconds = CONNECTIONS / per_second
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self.over = False

    async def run(self) -> None:
        """Send requests until `over` is set."""
        await asyncio.gather(
            *(self._ask_on(number * self._pause_seconds / CONNECTIONS) for number in range(CONNECTIONS))
        )

    async def _ask_on(self, delay_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_seconds
        wire = await asyncio.open_connection("127.0.0.1", self._port)
        while not self.over:
            await asyncio.sleep(due - loop.time())
            due += self._pause_seconds
            began = perf_counter()
            try:
                if not await self._ask(*wire):  # nginx closes a connection after a thousand requests
                    wire[1].close()
                    wire = await asyncio.open_connection("127.0.0.1", self._port)
            except (OSError, ValueError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
                wire[1].close()
                wire = await asyncio.open_connection("127.0.0.1", self._port)
            self.seconds.append(perf_counter() - began)
        wire[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one request, and return whether the connection stays open. Raises `ValueError` for a wrong answer."""
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head.split(b"\r\n")[0].decode())
        return b"connection: close" not in head


async def main(per_second: float, rounds: int, number: signal.Signals) -> int:
    """Restart both gateways `rounds` times under load, and print the results."""
    key = make_key()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(EmbeddedValkey())
        upstream = await stack.enter_async_context(Sandbox(scenario="document"))
        (folder / "clients.toml").write_text(format_client("bench", hash_key(key), "all", portfolio=False))
        ports = [free_port() for _ in range(2)]
        environment = {"UPSTREAM_URL": upstream.url, "UPSTREAM_TOKEN": "sandbox-token", "REDIS_URL": valkey.url}
        environment |= {"CLIENTS_FILE": str(folder / "clients.toml"), "LOG_LEVEL": "warning"}
        gateways = [await start_gateway(port, environment) for port in ports]
        stack.push_async_callback(end_all, gateways)
        balancer = await stack.enter_async_context(run_nginx(folder, ports))
        load = Load(balancer, key, per_second)
        loading = asyncio.create_task(load.run())
        statuses = []
        for turn in range(2 * rounds):
            await asyncio.sleep(2)
            statuses.append(await end(gateways[turn % 2], number))
            await await_listening(ports[turn % 2], wanted=False)  # a killed worker takes a moment to be gone
            gateways[turn % 2] = await start_gateway(ports[turn % 2], environment)
        await asyncio.sleep(2)
        load.over = True
        await loading
    slowest = max(load.seconds)
    print(f"{2 * rounds} restarts, {len(load.seconds)} requests, {len(load.failures)} failed, slowest {slowest:.3f} s")
    print(*load.failures[:5], f"exit statuses {sorted(set(statuses))}", sep="\n")
    wanted = 0 if number is signal.SIGTERM else -number
    return 1 if load.failures or set(statuses) != {wanted} else 0


async def start_gateway(port: int, settings: dict[str, str]) -> Process:
    """Start a gateway in a session of its own, and wait until it takes connections."""
    environment = {f"TALLYGATE_{name}": value for name, value in {**settings, "PORT": str(port)}.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "serve", env={**os.environ, **environment}, cwd=ROOT, start_new_session=True
    )
    await await_listening(port)
    return process


async def end(process: Process, number: signal.Signals = signal.SIGTERM) -> int:
    """Signal a gateway. SIGKILL goes to its workers too, as when a container is killed."""
    if number is signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    return await process.wait()


async def end_all(processes: list[Process]) -> None:
    """End gateways, one after the other."""
    for process in processes:
        await end(process)


@asynccontextmanager
async def run_nginx(folder: Path, gateways: list[int]) -> AsyncIterator[int]:
    """Run nginx with our configuration in front of these ports, and yield its own port."""
    port = free_port()
    text = (ROOT / "deploy/nginx/nginx.conf").read_text()
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{folder}/")
    (folder / "nginx.conf").write_text(f"daemon off;\n{text}")
    (folder / "problems.conf").write_text((ROOT / "deploy/nginx/problems.conf").read_text())
    servers = " ".join(f"server 127.0.0.1:{gateway} max_fails=0;" for gateway in gateways)
    (folder / "gateways.conf").write_text(UPSTREAM.format(servers=servers))
    process = await asyncio.create_subprocess_exec(
        "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await await_listening(port)
        yield port
    finally:
        await end(process)


async def await_listening(port: int, *, wanted: bool = True) -> None:
    """Wait until a port accepts connections, or with `wanted=False` until it does not."""
    async with asyncio.timeout(30):
        while True:
            if await _is_taken(port) is wanted:
                return
            await asyncio.sleep(0.02)


async def _is_taken(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    with create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.rate, options.rounds, signal.SIGKILL if options.kill else signal.SIGTERM)))

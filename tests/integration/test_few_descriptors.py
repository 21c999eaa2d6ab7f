"""As many connections as may be, silent ones: the upstream, the clients file and the metrics are still reached."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

from sandbox import Sandbox
from tests.support.fork_server import inherited
from tests.support.gateway import KEY, Gateway, free_port, listening, newcomer, serving, stop, write_clients
from tests.support.raw_http import connect

PATH = "/v1/merchants/12345/balances"
LIMIT = 256


async def test_silent_connections_take_no_descriptor_that_the_service_needs(
    shared_upstream: Sandbox, tmp_path: Path
) -> None:
    port, clients = free_port(), write_clients(tmp_path / "clients.toml")
    settings = {"port": port, "clients_file": clients, "drain_seconds": 0}
    command = ["/bin/sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", sys.executable, "-m", "app", "serve"]
    environment = {**inherited(), **serving(shared_upstream.url, **settings)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(newcomer(url, {"Authorization": f"Bearer {KEY}"}))
        gateway = Gateway(process, url, client)
        hearing = asyncio.create_task(gateway.listen())
        try:
            await gateway.logged("server.started")
            few = gateway.named("descriptors.few")[0]
            assert (few["limit"], few["connections"]) == (LIMIT, LIMIT // 2)
            await listening(port)
            assert (await client.get(PATH)).status_code == 200
            for _ in range(LIMIT):
                await stack.enter_async_context(connect(url))
            assert (await client.get(PATH, headers={"Cache-Control": "no-cache"})).status_code == 200
            clients.write_text(clients.read_text().replace('name = "all"', 'name = "renamed"'))
            await gateway.logged("clients.renewed")
            assert gateway.named("clients.refused") == []
            assert gateway.named("metrics.unwritable") == []
        finally:
            await stop(process)
            await hearing

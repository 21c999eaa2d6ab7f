"""What rests on the inside of libraries, switched off by `TALLYGATE_PLAIN` or gone with an update: all is answered alike."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.fork_server import inherited
from tests.support.gateway import (
    KEY,
    Gateway,
    as_variables,
    free_port,
    listening,
    newcomer,
    run_gateway,
    serving,
    stop,
    write_clients,
)
from tests.support.processes import policies

PATH = "/v1/merchants/12345/balances"

A_WORKER = """
import asyncio, gc, os, pathlib, sys
from redis.asyncio import ConnectionPool
from app.server.workers import load_app

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
app = load_app(pathlib.Path(sys.argv[1]))
seen = []


async def future_watcher():
    seen.append("begun")


loop.create_task(future_watcher())
gc.unfreeze()
pools = {type(one).__name__ for one in gc.get_objects() if isinstance(one, ConnectionPool)}
print(seen, pools, os.sched_getscheduler(0), round(sys.getswitchinterval(), 6))
"""

WITHOUT_A_NAME = """
import os, pathlib, sys, types
from granian.server import mp
from app.server.workers import run_workers
from app.settings.environment import read_settings
from app.telemetry.logs import LogFormat, LogLevel, configure_logs


class Gone:
    def __get__(self, *_):
        raise AttributeError

    def __set__(self, *_):
        pass


class Worker(mp.WorkerProcess):
    inner = Gone()


logs = configure_logs(LogFormat.JSON, LogLevel.INFO)
granian = types.SimpleNamespace(**{**vars(mp), "WorkerProcess": Worker})
run_workers(read_settings(os.environ), pathlib.Path(sys.argv[1]), logs, granian)
"""


@asynccontextmanager
async def run_without_a_name(upstream: Sandbox, folder: Path, redis_url: str) -> AsyncIterator[Gateway]:
    """Run the server as it would be with a granian that keeps a worker's process under another name."""
    port = free_port()
    settings = {"port": port, "clients_file": write_clients(folder / "clients.toml"), "redis_url": redis_url}
    environment = {**inherited(), **serving(upstream.url), **as_variables({**settings, "drain_seconds": 0})}
    command = [sys.executable, "-c", WITHOUT_A_NAME, str(folder)]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    url = f"http://127.0.0.1:{port}"
    async with newcomer(url, {"Authorization": f"Bearer {KEY}"}) as client:
        gateway = Gateway(process, url, client)
        hearing = asyncio.create_task(gateway.listen())
        try:
            await gateway.logged("server.started")
            await listening(port)
            yield gateway
        finally:
            await stop(process)
            await hearing


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_BATCH")
@pytest.mark.parametrize(
    ("plain", "found"),
    [
        ("false", f"['begun'] {{'LeanPool'}} {os.SCHED_BATCH} 0.0001\n"),
        ("true", f"[] {{'ConnectionPool'}} {os.SCHED_OTHER} 0.005\n"),
    ],
)
def test_a_plain_worker_has_neither_eager_start_nor_our_pool_nor_our_scheduling(
    tmp_path: Path, plain: str, found: str
) -> None:
    clients = write_clients(tmp_path / "clients.toml")
    settings = {"redis_url": "redis://127.0.0.1:9", "clients_file": clients, "plain": plain}
    environment = {**inherited(), **serving("http://127.0.0.1:9"), **as_variables(settings)}
    command = [sys.executable, "-c", A_WORKER, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, found), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has SCHED_BATCH")
async def test_a_plain_service_answers_the_same_and_is_scheduled_as_any_other(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    answers = []
    for plain in ("false", "true"):
        async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, plain=plain) as gateway:
            worker = gateway.named("server.started")[0]["pid"]
            assert policies(worker) == {os.SCHED_OTHER if plain == "true" else os.SCHED_BATCH}
            for _ in range(3):
                answer = await gateway.get(PATH)
            assert (await gateway.get(PATH, If_None_Match=answer.headers["etag"])).status_code == 304
            assert (await gateway.get("/health/ready")).json()["redis"] == "available"
            answers.append((answer.status_code, answer.json()["balances"], answer.headers["content-type"]))
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
            assert gateway.named("library.internals_missing") == []
    assert answers[0] == answers[1]
    assert answers[0][0] == 200


async def test_without_a_private_name_of_granian_workers_serve_are_replaced_and_stop(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_without_a_name(shared_upstream, tmp_path, valkey.url) as gateway:
        assert (await gateway.get(PATH)).status_code == 200
        os.kill(gateway.named("server.started")[0]["pid"], signal.SIGKILL)
        await gateway.logged("server.started", 2)
        await listening(int(gateway.url.rpartition(":")[2]))
        async with newcomer(gateway.url, gateway.client.headers) as client:
            assert (await client.get(PATH)).status_code == 200
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    (line,) = gateway.named("library.internals_missing")
    assert (line["level"], line["library"], line["names"]) == ("warning", "granian", ["inner"])
    assert gateway.named("worker.died") == []
    assert len(gateway.named("server.stopped")) == 1

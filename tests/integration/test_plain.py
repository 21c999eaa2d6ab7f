"""What rests on the inside of libraries, switched off by `TALLYGATE_PLAIN`: all is answered alike."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.fork_server import inherited
from tests.support.gateway import (
    as_variables,
    run_gateway,
    serving,
    write_clients,
)

PATH = "/v1/merchants/12345/balances"

A_WORKER = """
import gc, os, pathlib, sys
from redis.asyncio import ConnectionPool
from app.server.worker import load_app
from app.settings.environment import read_settings

app = load_app(pathlib.Path(sys.argv[1]), read_settings(os.environ))
gc.unfreeze()
pools = {type(one).__name__ for one in gc.get_objects() if isinstance(one, ConnectionPool)}
print(pools)
"""


@pytest.mark.parametrize(("plain", "found"), [("false", "{'LeanPool'}\n"), ("true", "{'ConnectionPool'}\n")])
def test_a_plain_worker_has_redis_pys_own_pool(tmp_path: Path, plain: str, found: str) -> None:
    clients = write_clients(tmp_path / "clients.toml")
    settings = {"redis_url": "redis://127.0.0.1:9", "clients_file": clients, "plain": plain}
    environment = {**inherited(), **serving("http://127.0.0.1:9"), **as_variables(settings)}
    command = [sys.executable, "-c", A_WORKER, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, found), done.stderr


async def test_a_plain_service_answers_the_same(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    answers = []
    for plain in ("false", "true"):
        async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, plain=plain) as gateway:
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

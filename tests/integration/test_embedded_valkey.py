"""The Valkey that the service starts for itself where no Redis is given: nothing of it outlives the service."""

import asyncio
import os
import signal
from pathlib import Path
from socket import create_server

import pytest
from redis.asyncio import Redis

from sandbox import Sandbox
from tests.support.gateway import Gateway, free_port, run_gateway
from tests.support.processes import Sighting, all_gone, left_in, processes_of
from tests.support.valkey import stored_entries

PATH = "/v1/merchants/12345/balances"


def socket_in(folder: Path) -> Path:
    (socket,) = folder.glob("tallygate-*/valkey.sock")
    return socket


def valkey_among(sightings: list[Sighting]) -> Sighting:
    (server,) = (sighting for sighting in sightings if "/valkey-server unixsocket:" in sighting.command)
    return server


def environment_of(sighting: Sighting) -> list[bytes]:
    return Path(f"/proc/{sighting.pid}/environ").read_bytes().split(b"\0")


async def test_it_holds_what_was_fetched_and_nobody_else_may_touch_it(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path
) -> None:
    async with run_gateway(shared_upstream, tmp_path, place=private_tmp) as gateway:
        await gateway.get(PATH)
        socket = socket_in(private_tmp)
        async with Redis.from_url(f"unix://{socket}") as redis:
            assert len(await stored_entries(redis)) == 1
            assert await redis.config_get("port", "save", "appendonly") == {"port": "0", "save": "", "appendonly": "no"}
        assert socket.stat().st_mode & 0o077 == 0
        assert socket.parent.stat().st_mode & 0o077 == 0


async def test_it_allocates_quickly_is_scheduled_with_the_service_and_hears_no_signal_of_its_terminal(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path
) -> None:
    async with run_gateway(shared_upstream, tmp_path, place=private_tmp) as gateway:
        server = valkey_among(processes_of(private_tmp))
        worker = gateway.named("server.started")[0]["pid"]
        assert b"GLIBC_TUNABLES=glibc.malloc.tcache_count=127" in environment_of(server)
        assert os.getsid(server.pid) == os.getsid(worker)
        assert os.getpgid(server.pid) != os.getpgid(worker)


@pytest.fixture(scope="module")
def port() -> int:
    """A port that one service after the other listens on."""
    return free_port()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_nothing_is_left_however_the_service_ends_and_its_port_is_free(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path, port: int, number: signal.Signals
) -> None:
    async with run_gateway(shared_upstream, tmp_path, place=private_tmp, port=port, workers=2) as gateway:
        assert (await gateway.get(PATH)).status_code == 200
        processes = processes_of(private_tmp)
        assert len(processes) >= 6  # the service, its two workers, the keeper's two shells, Valkey
        gateway.signal(number)
        assert await gateway.ended() == (0 if number != signal.SIGKILL else -number)
        await all_gone(processes)
        assert not processes_of(private_tmp)
        assert left_in(private_tmp) == []
    with create_server(("127.0.0.1", port)):
        pass


async def test_it_is_started_again_when_it_dies_alone(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path
) -> None:
    async with run_gateway(shared_upstream, tmp_path, place=private_tmp) as gateway:
        assert (await gateway.get(PATH)).status_code == 200
        server = valkey_among(processes_of(private_tmp))
        os.kill(server.pid, signal.SIGKILL)
        await server.gone()
        await until_redis_is(gateway, "unavailable")
        await until_redis_is(gateway, "available")
        merchant = shared_upstream.world.merchant_ids[0]
        assert (await gateway.get(f"/v1/merchants/{merchant}/balances")).status_code == 200
        async with Redis.from_url(f"unix://{socket_in(private_tmp)}") as redis:
            assert len(await stored_entries(redis, merchant)) == 1


async def until_redis_is(gateway: Gateway, state: str) -> None:
    """Ask until the service says so: it learns of Redis by what it asks it for, not by being asked how it is."""
    async with asyncio.timeout(30):
        while (await gateway.get("/health/ready")).json()["redis"] != state:
            await gateway.get(PATH, Cache_Control="no-cache")

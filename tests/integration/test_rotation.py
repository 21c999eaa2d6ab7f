"""A caller's key is replaced under load, on two workers, and no request fails."""

import asyncio
from pathlib import Path

import httpx

from app.access.callers import hash_key
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import Gateway, run_gateway

PATH = "/v1/merchants/12345/balances"
PROGRAMS = 4


def write(path: Path, *keys: str) -> None:
    """Replace the file as Kubernetes does: by a link to another one."""
    target = path.with_name(f"clients-{'-'.join(keys)}.toml")
    target.write_text(f'[[client]]\nname = "all"\nkey_sha256 = {[hash_key(key) for key in keys]}\nmerchants = "all"\n')
    redis_client = path.with_name("link")
    redis_client.symlink_to(target)
    redis_client.replace(path)


async def test_a_key_is_rotated_under_load_and_no_request_fails(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    clients = tmp_path / "clients.toml"
    write(clients, "one")
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, clients_file=clients, workers=2) as gateway:
        statuses: list[int] = []
        key, ended = "one", False
        changed = [asyncio.Event() for _ in range(PROGRAMS)]

        async def press(using_the_new_one: asyncio.Event) -> None:
            while not ended:
                if key == "two":
                    using_the_new_one.set()
                statuses.append((await ask(gateway, key)).status_code)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for event in changed:
                group.create_task(press(event))
            write(clients, "one", "two")
            await gateway.logged("clients.renewed", 2)
            key = "two"
            await asyncio.gather(*(event.wait() for event in changed))
            write(clients, "two")
            await gateway.logged("clients.renewed", 4)
            ended = True
        assert set(statuses) == {200}
        assert len(statuses) > 50
        assert {(await ask(gateway, "one")).status_code for _ in range(10)} == {401}


async def ask(gateway: Gateway, key: str) -> httpx.Response:
    return await gateway.get(PATH, Authorization=f"Bearer {key}")

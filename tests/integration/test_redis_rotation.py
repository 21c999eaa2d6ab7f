"""A password of Redis is replaced without a restart: at one server, behind Sentinels, and in a Cluster."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from sandbox import Sandbox
from tests.support.gateway import Gateway, free_port, run_gateway
from tests.support.polling import ask_until
from tests.support.topologies import join, run_node, run_watched
from tests.support.valkey import Valkey, run_valkey

SETTINGS: dict[str, Any] = {"redis_timeout_seconds": 2, "fresh_seconds": 0, "stale_while_revalidate_seconds": 0}
PATH = "/v1/merchants/12345/balances"
OLD, NEW = "old-9b", "new-7c"


class Servers(Struct):
    """Servers that hold keys, and the URL with a login to be filled in."""

    nodes: Sequence[Valkey]
    url: str

    async def change_user(self, *rules: str) -> None:
        """Change the gateway's user at each server."""
        for node in self.nodes:
            await node.ask("ACL", "SETUSER", "rotated", "on", "~*", "&*", "+@all", *rules)

    async def count_values(self) -> int:
        """Count the values that were stored, and forget them."""
        counts = [int(await node.ask("DBSIZE")) for node in self.nodes]
        for node in self.nodes:
            await node.ask("FLUSHALL")
        return sum(counts)

    async def count_connections(self) -> int:
        """Count the connections of the gateway's user."""
        lists = [str(await node.ask("CLIENT", "LIST")) for node in self.nodes]
        return sum(text.count("user=rotated") for text in lists)


@asynccontextmanager
async def one_server() -> AsyncIterator[Servers]:
    async with run_valkey(port=free_port()) as server:
        yield Servers([server], f"redis://{{}}{server.address}")


@asynccontextmanager
async def sentinels() -> AsyncIterator[Servers]:
    async with run_watched() as watched:
        addresses = ",".join(sentinel.address for sentinel in watched.sentinels)
        yield Servers([watched.primary], f"redis+sentinel://{{}}{addresses}/tally")


@asynccontextmanager
async def cluster() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(run_node()) for _ in range(3)]
        await join(nodes)
        yield Servers(nodes, f"redis+cluster://{{}}{nodes[0].address}")


def write(path: Path, text: str) -> None:
    """Replace the file as Kubernetes does: by a link to another one."""
    target = path.with_name(f"url-{len(list(path.parent.iterdir()))}")
    target.write_text(text + "\n")
    link = path.with_name("link")
    link.symlink_to(target)
    link.replace(path)


async def read(gateway: Gateway) -> bool:
    return (await gateway.get(PATH)).status_code == 200


@pytest.mark.parametrize("kind", [one_server, sentinels, cluster])
async def test_a_password_is_rotated_without_a_restart(
    shared_upstream: Sandbox, tmp_path: Path, kind: Callable[[], AbstractAsyncContextManager[Servers]]
) -> None:
    url_file = tmp_path / "redis-url"
    async with kind() as servers:
        await servers.change_user(f">{OLD}")
        write(url_file, servers.url.format(f"rotated:{OLD}@"))
        settings = {**SETTINGS, "redis_url_file": url_file, "workers": 2}
        async with run_gateway(shared_upstream, tmp_path, **settings) as gateway:
            await _rotate(servers, gateway, url_file)
            assert OLD not in "".join(gateway.lines)
            assert NEW not in "".join(gateway.lines)


async def _rotate(servers: Servers, gateway: Gateway, url_file: Path) -> None:
    assert await read(gateway)
    assert await servers.count_values()
    write(url_file, servers.url.format(f"rotated:{NEW}@"))  # too early: the server does not know it yet
    await gateway.logged("redis.url_unusable", 2)
    assert await read(gateway)
    assert await servers.count_values()
    await servers.change_user(f">{NEW}")
    await gateway.logged("redis.url_changed", 2)
    await servers.change_user(f"<{OLD}")
    before = await servers.count_connections()
    for node in servers.nodes:
        await node.ask("CLIENT", "KILL", "USER", "rotated")  # those that are opened now show the new password
    assert before
    await ask_until(lambda: read(gateway), bool)
    await servers.count_values()
    while not await servers.count_values():
        assert await read(gateway)
    assert await servers.count_connections()
    assert (await gateway.get("/health/ready")).json()["redis"] == "available"


@pytest.mark.parametrize(
    "text", ["", "http://nonsense:secret-9b@x", "redis://a?max_connections=2", "redis://\N{EURO SIGN}"]
)
async def test_a_bad_file_keeps_the_old_url(shared_upstream: Sandbox, tmp_path: Path, text: str) -> None:
    url_file = tmp_path / "redis-url"
    async with run_valkey(port=free_port()) as server:
        write(url_file, server.url)
        async with run_gateway(shared_upstream, tmp_path, redis_url_file=url_file, **SETTINGS) as gateway:
            write(url_file, text)
            line = await gateway.logged("redis.url_unusable")
            assert await read(gateway)
            assert await server.ask("DBSIZE") != 0
            assert "secret-9b" not in str(line)
            url_file.unlink()
            await gateway.logged("redis.url_unusable", 2)
            assert await read(gateway)


async def test_a_new_url_of_the_history_is_used_without_a_restart(shared_upstream: Sandbox, tmp_path: Path) -> None:
    url_file = tmp_path / "history-url"
    async with run_valkey(port=free_port()) as first, run_valkey(port=free_port()) as other:
        write(url_file, first.url)
        async with run_gateway(shared_upstream, tmp_path, history_redis_url_file=url_file, **SETTINGS) as gateway:
            assert await read(gateway)
            assert await first.ask("DBSIZE") != 0
            write(url_file, other.url)
            await gateway.logged("redis.url_changed")
            await other.ask("FLUSHALL")
            assert await read(gateway)
            assert await other.ask("DBSIZE") != 0

"""`tallygate check` and a Redis: it does what the service does, and says what is missing or in the way."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from app.secret import Secret
from app.settings.sections import RedisSettings
from app.wiring.redis import diagnose_redis
from tests.support.gateway import free_port
from tests.support.manifests import ROOT
from tests.support.topologies import LOGIN, join, open_account, run_node, run_tls, run_watched
from tests.support.valkey import Valkey, run_sentinel, run_valkey


async def diagnose(url: str, timeout_seconds: float = 5) -> str:
    """Say what `check` says of a URL, and see that nothing of the URL's login is in it."""
    found = await diagnose_redis(RedisSettings(url=Secret(url), timeout_seconds=timeout_seconds)) or "right"
    assert "secret" not in found
    return found.removeprefix("TALLYGATE_REDIS_URL: ")


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    async with run_valkey(port=free_port()) as server:
        yield server


async def test_a_server_is_right_and_nothing_stays_in_it(server: Valkey) -> None:
    assert await diagnose(server.url) == "right"
    assert await server.ask("KEYS", "*") == []


async def test_sentinels_are_right() -> None:
    async with run_watched() as watched:
        assert await diagnose(watched.url) == "right"


async def test_a_cluster_is_right_at_each_of_its_nodes() -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(run_node()) for _ in range(3)]
        await join(nodes)
        url = f"redis+cluster://{LOGIN}{nodes[0].address}"
        assert await diagnose(url) == "right"
        assert (await diagnose(nodes[0].url)).startswith("It is a node of a Cluster")
        await nodes[2].ask("CONFIG", "SET", "maxmemory", "1")
        assert (await diagnose(url)).startswith("It is full")


async def documented_user(server: Valkey, *more: str) -> str:
    """Make the user of docs/redis.md, with some more rules, and return the URL with it."""
    lines = (ROOT / "docs/redis.md").read_text().splitlines()
    (words,) = [line.split() for line in lines if line.startswith("ACL SETUSER")]
    await server.ask(*words, *more)
    return f"redis://tallygate:PASSWORD@{server.address}"


async def test_the_documented_user_is_right_in_a_cluster() -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(run_node()) for _ in range(3)]
        await join(nodes)
        urls = [await documented_user(node) for node in nodes]
        assert await diagnose(urls[0].replace("redis://", "redis+cluster://")) == "right"
        await nodes[1].ask("ACL", "SETUSER", "tallygate", "-publish")
        lacking = await diagnose(urls[0].replace("redis://", "redis+cluster://"))
        assert lacking == "The user lacks rights: +publish (docs/redis.md lists all)."


COMMANDS = ["ping", "set", "get", "mget", "pttl", "pexpire", "hset", "hmget", "zadd", "zcount", "zremrangebyscore"]
COMMANDS += ["hget", "hsetnx", "hincrby", "hdel", "exists", "xadd", "xrange", "xrevrange", "xdel"]
COMMANDS += ["eval", "evalsha", "time", "publish", "subscribe", "pubsub", "del"]


async def test_the_documented_user_is_right(server: Valkey) -> None:
    assert await diagnose(await documented_user(server)) == "right"


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_that_the_user_may_not_use_is_named(server: Valkey, command: str) -> None:
    url = await documented_user(server, f"-{command}")
    name = "pubsub|numsub" if command == "pubsub" else command
    assert await diagnose(url) == f"The user lacks rights: +{name} (docs/redis.md lists all)."


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (("resetkeys", "~other:*"), "~tallygate:*"),
        (("resetchannels", "&other:*"), "&tallygate:*"),
        (("-eval", "-publish", "resetkeys"), "~tallygate:*, +eval, +publish"),
    ],
)
async def test_all_that_the_user_lacks_is_named(server: Valkey, rules: tuple[str, ...], missing: str) -> None:
    url = await documented_user(server, *rules)
    assert await diagnose(url) == f"The user lacks rights: {missing} (docs/redis.md lists all)."


async def test_a_login_that_is_wrong_or_missing_is_said_to_be(server: Valkey) -> None:
    await open_account(server)
    for login in ("tally%3Agate:secret@", ":secret@", "nobody:secret@"):
        assert await diagnose(f"redis://{login}{server.address}") == "It does not accept user and password of the URL."
    assert (await diagnose(f"redis://{server.address}")).startswith("It wants a password")


async def read_only(server: Valkey) -> None:
    await server.ask("REPLICAOF", "127.0.0.1", str(free_port()))


async def without_its_primary(server: Valkey) -> None:
    await server.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
    await read_only(server)


async def full(server: Valkey) -> None:
    await server.ask("CONFIG", "SET", "maxmemory", "1")


async def without_replicas(server: Valkey) -> None:
    await server.ask("CONFIG", "SET", "min-replicas-to-write", "1")


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (read_only, "It is a read-only replica"),
        (without_its_primary, "It is a replica that has lost its primary"),
        (full, "It is full"),
        (without_replicas, "It refuses writes because it has too few replicas"),
    ],
)
async def test_a_state_in_which_nothing_is_written_is_named(
    server: Valkey, state: Callable[[Valkey], Awaitable[None]], sentence: str
) -> None:
    await state(server)
    assert (await diagnose(server.url)).startswith(sentence)


async def test_a_database_that_there_is_not_is_said_to_be(server: Valkey) -> None:
    assert await diagnose(f"{server.url}/99") == "It has no database of that number."


async def test_a_server_that_is_too_slow_for_the_setting_is_said_to_be(server: Valkey) -> None:
    assert "TALLYGATE_REDIS_TIMEOUT_SECONDS" in await diagnose(server.url, timeout_seconds=1e-6)


async def test_what_is_of_another_kind_is_told_from_what_the_url_says(server: Valkey) -> None:
    async with run_sentinel(free_port()) as sentinel:
        assert (await diagnose(sentinel.url)).startswith("It lacks commands of Redis: is it a Sentinel")
        url = f"redis+sentinel://{sentinel.address}/tally"
        assert await diagnose(url) == "The Sentinels know no primary of that name, but none at all."
        await sentinel.ask("SENTINEL", "MONITOR", "other", "127.0.0.1", str(server.port), "1")
        assert await diagnose(url) == "The Sentinels know no primary of that name, but other."
        await sentinel.ask("ACL", "SETUSER", "default", ">s3ntinel")
        assert (await diagnose(url)).startswith("Sentinel: It wants a password")
        assert (await diagnose(f"{url}?sentinel_password=secret")).startswith("Sentinel: It does not accept user")
        right = url.replace("/tally", "/other?sentinel_password=s3ntinel")
        assert await diagnose(right) == "right"
    assert (await diagnose(f"redis+sentinel://{server.address}/tally")).startswith("Sentinel: It is no Sentinel")
    assert (await diagnose(f"redis+cluster://{server.address}")).startswith("It is no Cluster")


async def test_tls_that_does_not_fit_is_told_apart(server: Valkey) -> None:
    async with run_tls(server.port) as ([port], authority):
        assert await diagnose(f"rediss://127.0.0.1:{port}?ca={authority}") == "right"
        for url in (f"rediss://127.0.0.1:{port}", f"rediss://localhost:{port}?ca={authority}"):
            assert (await diagnose(url)).startswith("Its certificate is not accepted")
        assert "rediss://" in await diagnose(f"redis://127.0.0.1:{port}")


async def test_tls_to_a_server_without_it_is_said_to_be_so(server: Valkey) -> None:
    assert await diagnose(f"rediss://{server.address}") == "It speaks no TLS: use redis://."


Answer = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await answer(reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def speak_http(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def hang_up(_: StreamReader, __: StreamWriter) -> None:
    """Say nothing."""


async def alert(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.readline()
    writer.write(b"\x15\x03\x01\x00\x02\x02\x28")
    await writer.drain()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (speak_http, "It is no Redis: it answers in another protocol."),
        (hang_up, "It closes the connection: does it want TLS (rediss://)?"),
        (alert, "It wants TLS: use rediss://."),
    ],
)
async def test_what_is_no_redis_is_said_to_be_none(answer: Answer, sentence: str) -> None:
    async with listening(answer) as url:
        assert await diagnose(url) == sentence


async def test_a_server_that_is_not_there_is_said_to_be_away(tmp_path: Path) -> None:
    for url in (f"redis://:secret@127.0.0.1:{free_port()}", f"unix://{tmp_path}/none.sock"):
        assert (await diagnose(url)).startswith("Nothing listens there")
    assert await diagnose("redis://no.such.host.invalid") == "The name of its host is not known."

"""The file of the Redis URL is watched: a new URL counts once it works, and a bad one never."""

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from structlog.testing import capture_logs

from app.errors import StartError
from app.redis.replacement import Connect
from app.redis.url_watcher import RedisUrlWatcher
from app.secret import Secret
from tests.support.replica import make_redis_client

FIRST, NEXT, BAD = (Secret(text) for text in ("first", "next", "bad"))


class World:
    """A file, and the servers that URLs lead to."""

    def __init__(self, server: FakeServer) -> None:
        self.content: Secret | StartError = FIRST
        self.servers = {"first": server, "next": FakeServer()}
        self.redis_client = make_redis_client(server)
        self.watcher = RedisUrlWatcher(FIRST, self.read, self.connect, self.redis_client)

    async def read(self) -> Secret:
        if isinstance(self.content, StartError):
            raise self.content
        return self.content

    def connect(self, url: Secret) -> Connect:
        def make() -> FakeAsyncRedis:
            if url.reveal() not in self.servers:
                raise ValueError("the Redis URL is none")
            return FakeAsyncRedis(server=self.servers[url.reveal()])

        return make

    async def used(self) -> str:
        """Write, and say which server has got it."""
        await self.redis_client.execute(lambda: self.redis_client.client.set("mark", "here"), bool)
        return ",".join([name for name, server in self.servers.items() if await self._is_marked(server)])

    async def _is_marked(self, server: FakeServer) -> bool:
        return server.connected and await FakeAsyncRedis(server=server).getdel("mark") is not None


@pytest.fixture
def world(server: FakeServer) -> World:
    return World(server)


async def test_a_new_url_that_works_is_used_and_logged_once(world: World) -> None:
    old = world.redis_client.client
    await world.watcher.check_once()
    assert await world.used() == "first"
    world.content = NEXT
    with capture_logs() as logs:
        for _ in range(3):
            await world.watcher.check_once()
    assert await world.used() == "next"
    assert [line["event"] for line in logs] == ["redis.url_changed"]
    assert world.redis_client.client is not old


async def test_a_url_that_does_not_work_yet_is_used_as_soon_as_it_does(world: World) -> None:
    world.content = NEXT
    world.servers["next"].connected = False
    with capture_logs() as logs:
        for _ in range(3):
            await world.watcher.check_once()
        assert await world.used() == "first"
        world.servers["next"].connected = True
        await world.watcher.check_once()
    assert [line["event"] for line in logs] == ["redis.url_unusable", "redis.url_changed"]
    assert await world.used() == "next"


@pytest.mark.parametrize("content", [BAD, StartError("The file is gone.")])
async def test_a_bad_file_leaves_the_old_url_and_is_logged_once(world: World, content: Secret | StartError) -> None:
    world.content = content
    with capture_logs() as logs:
        for _ in range(3):
            await world.watcher.check_once()
        assert await world.used() == "first"
        world.content = FIRST
        await world.watcher.check_once()
        world.content = content
        await world.watcher.check_once()
    assert [line["event"] for line in logs] == ["redis.url_unusable"] * 2
    assert "bad" not in str(logs)

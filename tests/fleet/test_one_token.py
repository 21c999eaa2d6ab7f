"""One token for the whole fleet: minted once, however many need it at once; and rotated without a failed request."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.redis.embedded import EmbeddedValkey
from app.upstream.token_minting import TOKEN_PATH
from sandbox import Sandbox
from tests.fleet.conftest import HEADERS, run_fleet
from tests.support.gateway import PATIENCE_SECONDS, TOKEN, Gateway, run_gateway

MINTING: dict[str, Any] = {
    "upstream_token": None,
    "upstream_api_key": "sandbox-api-key",
    "upstream_api_secret": "sandbox-api-secret",
}
NEWEST = {**HEADERS, "Cache-Control": "no-cache"}
A_SECOND = 200
"""How many requests a second a rotation goes on under."""


async def read_newest(gateway: Gateway, merchants: list[int]) -> list[int]:
    """Ask for all at once, no answer to be older than its request."""

    async def read(session: aiohttp.ClientSession, merchant: int) -> int:
        async with session.get(f"/v1/merchants/{merchant}/balances") as answer:
            return answer.status

    async with aiohttp.ClientSession(gateway.url, headers=NEWEST, connector=aiohttp.TCPConnector(limit=0)) as session:
        return await asyncio.gather(*(read(session, merchant) for merchant in merchants))


@pytest.mark.parametrize("voids", [False, True], ids=["old_ones_stay_good", "a_new_one_voids_the_old"])
async def test_five_hundred_requests_when_the_token_ends_make_one_renewal_and_are_all_answered(
    valkey: EmbeddedValkey, tmp_path: Path, *, voids: bool
) -> None:
    async with (
        Sandbox(merchants=500, new_token_voids_old=voids) as upstream,
        run_fleet(upstream, tmp_path, valkey.url, upstream_timeout_seconds=20, **MINTING) as gateways,
    ):
        merchants = upstream.world.merchant_ids
        assert set(await read_newest(gateways[0], merchants[:4])) == {200}
        assert upstream.counters.by_path[TOKEN_PATH] == 1
        upstream.tokens.expire_all()
        shares = (read_newest(gateway, merchants[n::4]) for n, gateway in enumerate(gateways))
        statuses = Counter(itertools.chain(*await asyncio.gather(*shares)))
    assert statuses == {200: 500}
    assert upstream.counters.by_path[TOKEN_PATH] == 2


@asynccontextmanager
async def steady_reads(gateway: Gateway, merchants: list[int]) -> AsyncIterator[Counter[int]]:
    """Read `A_SECOND` times a second until the end, each time from the upstream, and count the statuses."""
    statuses: Counter[int] = Counter()
    enough = asyncio.Event()

    async def read(session: aiohttp.ClientSession, merchant: int) -> None:
        async with session.get(f"/v1/merchants/{merchant}/balances") as answer:
            statuses[answer.status] += 1

    async def read_on(session: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        began = asyncio.get_running_loop().time()
        for count, merchant in enumerate(itertools.cycle(merchants)):
            if enough.is_set():
                return
            group.create_task(read(session, merchant))
            await asyncio.sleep(began + count / A_SECOND - asyncio.get_running_loop().time())

    async with aiohttp.ClientSession(gateway.url, headers=NEWEST) as session, asyncio.TaskGroup() as group:
        group.create_task(read_on(session, group))
        yield statuses
        enough.set()


async def test_a_token_file_is_swapped_under_load_and_no_request_fails(
    upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    mounted = Mounted(tmp_path, TOKEN)
    settings: dict[str, Any] = {
        "upstream_token": None,
        "upstream_token_file": mounted.file,
        "upstream_timeout_seconds": 20,
    }
    async with run_gateway(
        upstream, tmp_path, workers=2, redis_url=valkey.url, redis_timeout_seconds=5, **settings
    ) as gateway:
        async with steady_reads(gateway, upstream.world.merchant_ids) as statuses:
            for number in range(2):
                await more_than(statuses, (number + 1) * A_SECOND // 2)
                mounted.swap(f"token-{number}")
                upstream.tokens.set_static(f"token-{number}")  # voids the one before
                await gateway.logged("token.changed", 2 * (number + 1))
        assert set(statuses) == {200}
        assert statuses.total() > A_SECOND


class Mounted:
    """A secret as Kubernetes mounts it: a link to a link to a folder, and a new one replaces it atomically."""

    def __init__(self, folder: Path, token: str) -> None:
        self._folder = folder
        self._count = itertools.count()
        self.swap(token)
        self.file = folder / "token"
        self.file.symlink_to(Path("..data", "token"))

    def swap(self, token: str) -> None:
        """Put another content in its place."""
        version = self._folder / f"..{next(self._count)}"
        version.mkdir()
        (version / "token").write_text(token)
        (self._folder / "..new").symlink_to(version.name)
        (self._folder / "..new").rename(self._folder / "..data")


async def more_than(statuses: Counter[int], count: int) -> None:
    """Wait until more than so many have been answered."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while statuses.total() <= count:  # noqa: ASYNC110  # a counter tells nobody
            await asyncio.sleep(0.01)

"""Replicas that mint, in virtual time: everything real over fakeredis, but the upstream's mint, which obeys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakeredis import FakeServer

from app.errors import TallygateError, TokenRefused
from app.fleet.shared_value import SharedValue
from app.resilience.supervision import supervised
from app.secret import Secret
from app.upstream.token_minting import Minted
from app.upstream.token_renewal import MintedTokenSource
from app.upstream.token_sealing import Seal
from tests.support.replica import make_shared
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, virtual_runtime

SEAL = Seal(Secret("s3cret"), "p")
NAME = "t:{token}"
LIFE_SECONDS = 1000.0


class Mint:
    """A mint that takes `seconds` for a token, gives `error` if there is one, and notes when it made which."""

    def __init__(self) -> None:
        self.seconds = 0.1
        self.life_seconds = LIFE_SECONDS
        self.error: TallygateError | None = None
        self.asked: list[float] = []

    async def __call__(self) -> Minted:
        self.asked.append(monotonic())
        name = f"token-{len(self.asked)}"
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return Minted(Secret(name), self.life_seconds)


class Replica:
    """One replica's token."""

    def __init__(self, mint: Mint, server: FakeServer, replica_id: str, *, seal: Seal, random: float) -> None:
        shared = make_shared(server, replica_id)
        self.redis_client = shared.client
        share = SharedValue(shared, "{token}").get_or_create
        self.tokens = MintedTokenSource(mint, seal, share, virtual_runtime(lambda: random))

    @property
    def shown(self) -> str | None:
        return None if self.tokens.current is None else self.tokens.current.secret.reveal()

    def mark_refused(self) -> None:
        self.tokens.mark_refused(self.tokens.current, TokenRefused("x"))


@asynccontextmanager
async def run_mints(
    mint: Mint, server: FakeServer, count: int = 1, *, seal: Seal = SEAL
) -> AsyncIterator[list[Replica]]:
    """Run so many replicas, each of which renews at a time of its own."""
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            replicas = []
            for number in range(count):
                replica = Replica(mint, server, f"r{number}", seal=seal, random=number / max(count, 1))
                await stack.enter_async_context(
                    supervised(redis_client=replica.redis_client.probe_while_lost, token=replica.tokens.keep_current)
                )
                replicas.append(replica)
            yield replicas

"""A drain that begins while a request is answered: the answer ends its connection, as those to later requests do."""

import asyncio

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.raw_asgi import app_of
from tests.support.service import run_service


async def test_an_answer_to_a_request_from_before_the_drain_ends_its_connection(
    upstream: Sandbox, valkey: EmbeddedValkey
) -> None:
    async with run_service(upstream, valkey.url) as service:
        with upstream.fault("latency", seconds=0.2):
            reading = asyncio.create_task(service.client.get("/v1/merchants/12345/balances"))
            await upstream.calls(1)
            assert not reading.done()
            app_of(service)._drain.begin()
            answer = await reading
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")

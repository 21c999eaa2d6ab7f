"""An upstream that answers twice: no caller ever gets another merchant's balances, and operators read why."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.egress.pool import QUIET_SECONDS
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import TOKEN, run_gateway
from tests.support.polling import ask_until

MERCHANTS = range(1, 30)


def answer(merchant: str) -> bytes:
    """Write an answer of which the total is the merchant's own id."""
    row = {"asset": "USDT", "assetId": "USDT", "assetName": "USDT", "total": merchant, "free": "0", "locked": merchant}
    body = json.dumps({"code": 200, "data": {"canDeposit": True, "balances": [row]}}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@dataclass
class DoubleUpstream:
    """Answers each request, and once more after a pause. The total of a merchant's row is its own id."""

    pause_seconds: float
    url: str = ""
    answered: dict[str, int] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
                merchant = parse_qs(urlsplit(target).query)["merchantId"][0]
                self.answered[merchant] = self.answered.get(merchant, 0) + 1
                writer.write(answer(merchant))
                await writer.drain()
                asyncio.get_running_loop().call_later(self.pause_seconds, writer.write, answer(merchant))
        except (asyncio.IncompleteReadError, ConnectionError, KeyError):
            writer.close()


@asynccontextmanager
async def run_double_upstream(pause_seconds: float) -> AsyncIterator[DoubleUpstream]:
    upstream = DoubleUpstream(pause_seconds)
    async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server:
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield upstream


@pytest.mark.parametrize("pause_seconds", [0, 0.001, 0.01, 0.05, 0.2])
async def test_no_merchant_gets_anothers_balances_from_an_upstream_that_answers_twice(
    valkey: EmbeddedValkey, tmp_path: Path, pause_seconds: float
) -> None:
    async with (
        run_double_upstream(pause_seconds) as upstream,
        Sandbox(token=TOKEN) as unused,
        run_gateway(unused, tmp_path, upstream_url=upstream.url, redis_url=valkey.url) as gateway,
    ):
        for merchant in MERCHANTS:
            found = await gateway.get(f"/v1/merchants/{merchant}/balances", Cache_Control="no-cache")
            assert [row["total"] for row in found.json()["balances"]] == [str(merchant)]
        stray = await gateway.logged("upstream.unsolicited_answer")
        assert set(stray["merchants"]) <= {str(merchant) for merchant in MERCHANTS}
        batch = await gateway.get(f"/v1/balances?merchantId={','.join(map(str, MERCHANTS))}")
        for part in batch.json()["merchants"]:
            assert [row["total"] for row in part["balances"]] == [str(part["merchantId"])]
        metrics = (await gateway.get("/metrics")).text
        assert "tallygate_upstream_unsolicited_total 0" not in metrics


@dataclass
class ShiftedUpstream(DoubleUpstream):
    """Answers the last merchant with the answer of the one before, then with its own, and after that with errors."""

    last: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        before = b""
        try:
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
                merchant = parse_qs(urlsplit(target).query)["merchantId"][0]
                asked = self.answered[merchant] = self.answered.get(merchant, 0) + 1
                own = answer(merchant)
                if merchant == self.last and before and asked == 1:
                    writer.write(before)
                    await asyncio.sleep(self.pause_seconds)
                    writer.write(own)
                elif merchant == self.last:
                    writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
                else:
                    writer.write(own)
                before = own
        except (asyncio.IncompleteReadError, ConnectionError, KeyError):
            writer.close()


@pytest.mark.parametrize("pause_seconds", [0.0005, 0.002, 0.05])
async def test_what_a_late_answer_mixed_up_is_served_no_more_though_it_cannot_be_fetched_again(
    valkey: EmbeddedValkey, tmp_path: Path, pause_seconds: float
) -> None:
    upstream = ShiftedUpstream(pause_seconds, last="26")
    async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server, Sandbox(token=TOKEN) as unused:
        settings: dict[str, Any] = {
            "upstream_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "redis_url": valkey.url,
            "merchants": "26,39",
        }
        async with (
            run_gateway(unused, tmp_path, **settings) as gateway,
            run_gateway(unused, tmp_path, **settings) as other,
        ):
            await gateway.get("/v1/merchants/39/balances")
            await asyncio.sleep(2 * QUIET_SECONDS)
            await gateway.get("/v1/merchants/26/balances")  # nothing in it says whose it is
            await gateway.logged("upstream.unsolicited_answer")
            await ask_until(lambda: gateway.get("/v1/merchants/26/balances"), lambda found: found.status_code != 200)
            await ask_until(lambda: other.get("/v1/merchants/26/balances"), lambda found: found.status_code != 200)
            for asked in (gateway, other) * 20:
                assert (await asked.get("/v1/merchants/26/balances")).status_code != 200

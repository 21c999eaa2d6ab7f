"""An upstream that answers twice: no caller ever gets another merchant's balances, and operators read why."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import TOKEN, run_gateway

MERCHANTS = range(1, 30)


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
                row = {"asset": "USDT", "assetId": "USDT", "assetName": "USDT", "free": "0"}
                rows = [row | {"total": merchant, "locked": merchant}]
                body = json.dumps({"code": 200, "data": {"canDeposit": True, "balances": rows}}).encode()
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                writer.write(answer)
                await writer.drain()
                asyncio.get_running_loop().call_later(self.pause_seconds, writer.write, answer)
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
            answer = await gateway.get(f"/v1/merchants/{merchant}/balances", Cache_Control="no-cache")
            assert [row["total"] for row in answer.json()["balances"]] == [str(merchant)]
        stray = await gateway.logged("upstream.unsolicited_answer")
        assert set(stray["merchants"]) <= {str(merchant) for merchant in MERCHANTS}
        batch = await gateway.get(f"/v1/balances?merchantId={','.join(map(str, MERCHANTS))}")
        for part in batch.json()["merchants"]:
            assert [row["total"] for row in part["balances"]] == [str(part["merchantId"])]
        metrics = (await gateway.get("/metrics")).text
        assert "tallygate_upstream_unsolicited_total 0" not in metrics

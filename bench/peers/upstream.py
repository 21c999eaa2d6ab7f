"""Lean upstream: it answers with eight rows of the moment, in a tenth of the time that the simulated upstream takes.

The first row's total is the Unix time of the answer, so that whoever gets it can see its age, through any gateway.
Run: python -m bench.peers.upstream PORT
"""

import asyncio
import json
import sys
import time
from typing import Any, Final

import uvloop

from bench.memory import ASSETS

CLOCK_ASSET: Final = "AAA"
_DIRECTORY: Final = b'{"code":200,"msg":"SUCCESS","data":{"currentPage":1,"size":1000,"total":0,"data":[]}}'
_ROW: Final = {
    "assetId": "",
    "asset": "",
    "assetName": "",
    "total": "12345.67890123",
    "free": "12345.67890123",
    "locked": "0",
}


def _make_template() -> tuple[bytes, bytes]:
    rows = [_ROW | {"assetId": asset, "asset": short, "assetName": name} for asset, (short, name, _) in ASSETS.items()]
    clock = _ROW | {"assetId": CLOCK_ASSET, "asset": CLOCK_ASSET, "assetName": "Clock", "total": "@", "free": "@"}
    envelope = {"code": 200, "msg": "SUCCESS", "data": {"canDeposit": True, "balances": [clock, *rows[1:]]}}
    before, between, after = json.dumps(envelope, separators=(",", ":")).encode().split(b"@")
    return before, between + b"%s" + after


class Upstream(asyncio.Protocol):
    """One connection. `calls` counts the questions about balances on all of them."""

    calls = 0
    _before, _after = _make_template()

    def __init__(self) -> None:
        self._transport: Any = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            body = self._answer(head)
            start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(start % len(body) + body)

    def _answer(self, head: bytes) -> bytes:
        if head.startswith(b"GET /v2/assets/account/assets?"):
            Upstream.calls += 1
            now = b"%.3f" % time.time()
            return self._before + now + self._after % now
        return b"%d" % Upstream.calls if head.startswith(b"GET /calls ") else _DIRECTORY


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))

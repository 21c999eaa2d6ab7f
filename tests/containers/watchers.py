"""Streams through the balancer that open again when they end, and how each one ended."""

import asyncio
import time
from contextlib import AsyncExitStack

HOST, PORT, PATIENCE_SECONDS = "127.0.0.1", 8080, 30
KEY = "tg_demo-only-everybody-knows-this-key"
COUNT = 8
_REQUEST = f"GET /v1/watch?merchantId=12345 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


class Watchers:
    """Follow streams, and count how they end. One without its first event in time is a failure, and is given up."""

    def __init__(self) -> None:
        self.told = 0
        """ended by an `end` event"""
        self.cut = 0
        """ended without one"""
        self.failures: list[str] = []
        self.slowest_seconds = 0.0
        """from a request to its first event"""
        self._following: list[asyncio.Task[None]] = []
        self._waiting = 0
        self._all_open = asyncio.Event()

    async def begin(self) -> None:
        """Open all streams."""
        self._following = [asyncio.create_task(self._follow()) for _ in range(COUNT)]
        await asyncio.sleep(0)
        await self._all_open.wait()

    async def end(self) -> None:
        """Close all streams when each one is open."""
        await self._all_open.wait()
        for following in self._following:
            following.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    def _count(self, step: int) -> None:
        self._waiting += step
        if self._waiting:
            self._all_open.clear()
        else:
            self._all_open.set()

    async def _follow(self) -> None:
        while True:
            self._count(1)
            began = time.monotonic()
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        reader, writer = await asyncio.open_connection(HOST, PORT)
                        stack.callback(writer.close)
                        writer.write(_REQUEST)
                        await reader.readuntil(b"event: hello")
                except (OSError, EOFError, asyncio.LimitOverrunError) as error:
                    self.failures.append(repr(error))
                    return
                finally:
                    self._count(-1)
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                await self._until_the_end(reader)

    async def _until_the_end(self, reader: asyncio.StreamReader) -> None:
        seen = b""
        try:
            while part := await reader.read(65536):
                seen = (seen + part)[-1000:]
                if b"event: end" in seen:
                    self.told += 1
                    return
        except ConnectionError:
            pass
        self.cut += 1

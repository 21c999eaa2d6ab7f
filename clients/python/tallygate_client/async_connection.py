"""Sending by an asynchronous client of httpx. `connection.py` is made from this file by `make python-client`."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

import httpx
from msgspec import Struct

from tallygate_client.calls import Call
from tallygate_client.event_stream import EventParser
from tallygate_client.following import Following
from tallygate_client.live import SILENCE_SECONDS, FeedEvent, WatchEvent, Watching
from tallygate_client.problems import TallygateError, make_error
from tallygate_client.sending import Pause, Reply, Send, Sending

T = TypeVar("T")

Credential = str | Callable[[], str]
"""A key or token, or what gives it for each request."""

_FIRST_ERROR: Final = 400


class AsyncConnection(Struct, frozen=True, kw_only=True):
    """Take the steps of calls, watches and feeds: send, read, sleep."""

    url: str
    credential: Credential | None
    http: httpx.AsyncClient
    sending: Sending
    sleep: Callable[[float], Awaitable[None]]

    async def call(self, call: Call[T]) -> T:
        """Call, and return the value."""
        steps = self.sending.steps(call, self._read_credential)
        outcome: Reply | httpx.RequestError | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as finished:
                value: T = finished.value
                return value
            outcome = await self._perform(step)

    async def watch(self, watching: Watching) -> AsyncGenerator[WatchEvent, None]:
        """Open one stream after the other. Raises only what another one cannot help."""
        while True:
            failure: Exception | None = None
            try:
                async with aclosing(self._stream(watching)) as events:  # leaving ends the connection
                    async for event in events:
                        yield event
            except (httpx.RequestError, TallygateError) as error:
                failure = error
            lost = watching.lost(failure)
            yield lost
            await self.sleep(lost.retry_in_seconds)

    async def follow(self, following: Following) -> AsyncGenerator[FeedEvent, None]:
        """Ask for one page of the feed after the other. Raises only what another question cannot help."""
        while True:
            try:
                page = await self.call(following.call())
            except TallygateError as error:
                event = following.failed(error)
                yield event
                await self.sleep(getattr(event, "retry_in_seconds", 0))
                continue
            for found in following.take(page):
                yield found

    async def _stream(self, watching: Watching) -> AsyncGenerator[WatchEvent, None]:
        parser = EventParser()
        timeout = httpx.Timeout(SILENCE_SECONDS)
        headers = watching.headers(self._read_credential())
        url = f"{self.url}/v1/watch"
        async with self.http.stream("GET", url, params=watching.params, headers=headers, timeout=timeout) as response:
            if response.status_code >= _FIRST_ERROR:
                raise make_error(response.status_code, await response.aread(), response.headers.get("retry-after"))
            async for piece in response.aiter_bytes():
                for event in parser.feed(piece):
                    if (found := watching.take(event)) is not None:
                        yield found
                if watching.has_ended:
                    return

    async def _perform(self, step: Send | Pause) -> Reply | httpx.RequestError | None:
        if isinstance(step, Pause):
            await self.sleep(step.seconds)
            return None
        call, seconds = step.call, step.timeout_seconds
        end = self.sending.monotonic() + seconds
        body = bytearray()
        try:
            async with self.http.stream(
                call.method,
                self.url + call.path,
                params=call.params,
                headers=step.headers,
                content=call.body,
                timeout=seconds,
            ) as response:
                async for piece in response.aiter_bytes():
                    body += piece
                    if self.sending.monotonic() > end:  # httpx bounds each wait, and not their sum
                        return httpx.ReadTimeout("The answer comes too slowly.")
        except httpx.RequestError as error:
            return error
        return Reply(response.status_code, response.headers, bytes(body))

    def _read_credential(self) -> str | None:
        return self.credential() if callable(self.credential) else self.credential

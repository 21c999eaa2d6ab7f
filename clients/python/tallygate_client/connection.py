"""Sending by a synchronous client of httpx. Made from `async_connection.py`."""

from collections.abc import Callable, Generator
from contextlib import closing
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


class Connection(Struct, frozen=True, kw_only=True):
    """Take the steps of calls, watches and feeds: send, read, sleep."""

    url: str
    credential: Credential | None
    http: httpx.Client
    sending: Sending
    sleep: Callable[[float], None]

    def call(self, call: Call[T]) -> T:
        """Call, and return the value."""
        steps = self.sending.steps(call, self._read_credential)
        outcome: Reply | httpx.RequestError | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as finished:
                value: T = finished.value
                return value
            outcome = self._perform(step)

    def watch(self, watching: Watching) -> Generator[WatchEvent, None, None]:
        """Open one stream after the other. Raises only what another one cannot help."""
        while True:
            failure: Exception | None = None
            try:
                with closing(self._stream(watching)) as events:  # leaving ends the connection
                    yield from events
            except (httpx.RequestError, TallygateError) as error:
                failure = error
            lost = watching.lost(failure)
            yield lost
            self.sleep(lost.retry_in_seconds)

    def follow(self, following: Following) -> Generator[FeedEvent, None, None]:
        """Ask for one page of the feed after the other. Raises only what another question cannot help."""
        while True:
            try:
                page = self.call(following.call())
            except TallygateError as error:
                event = following.failed(error)
                yield event
                self.sleep(getattr(event, "retry_in_seconds", 0))
                continue
            yield from following.take(page)

    def _stream(self, watching: Watching) -> Generator[WatchEvent, None, None]:
        parser = EventParser()
        timeout = httpx.Timeout(SILENCE_SECONDS)
        headers = watching.headers(self._read_credential())
        url = f"{self.url}/v1/watch"
        with self.http.stream("GET", url, params=watching.params, headers=headers, timeout=timeout) as response:
            if response.status_code >= _FIRST_ERROR:
                raise make_error(response.status_code, response.read(), response.headers.get("retry-after"))
            for piece in response.iter_bytes():
                for event in parser.feed(piece):
                    if (found := watching.take(event)) is not None:
                        yield found
                if watching.has_ended:
                    return

    def _perform(self, step: Send | Pause) -> Reply | httpx.RequestError | None:
        if isinstance(step, Pause):
            self.sleep(step.seconds)
            return None
        call, seconds = step.call, step.timeout_seconds
        end = self.sending.monotonic() + seconds
        body = bytearray()
        try:
            with self.http.stream(
                call.method,
                self.url + call.path,
                params=call.params,
                headers=step.headers,
                content=call.body,
                timeout=seconds,
            ) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if self.sending.monotonic() > end:  # httpx bounds each wait, and not their sum
                        return httpx.ReadTimeout("The answer comes too slowly.")
        except httpx.RequestError as error:
            return error
        return Reply(response.status_code, response.headers, bytes(body))

    def _read_credential(self) -> str | None:
        return self.credential() if callable(self.credential) else self.credential

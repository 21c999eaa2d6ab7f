"""Sending of one call: repetitions within a deadline, and answers known by their tags. Pure: a driver sends and waits.

The gateway's `Retry-After` is obeyed. Failures of the network are repeated with exponential back-off and jitter.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator
from threading import Lock
from typing import Any, Final, TypeVar

import httpx
from msgspec import Struct

from tallygate_client.calls import Call
from tallygate_client.problems import NoAnswerError, StatusError, make_error

T = TypeVar("T")

MAX_KNOWN_BYTES: Final = 16 * 1024 * 1024
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 10.0

_REPEATABLE: Final = frozenset({408, 429, 502, 503, 504})
_TOO_MANY: Final = 429
_NOT_MODIFIED: Final = 304
_FIRST_ERROR: Final = 400


class Send(Struct, frozen=True):
    """Send this request, which may take so many seconds. The answer is a `Reply`, or the error of the transport."""

    call: Call[Any]
    headers: dict[str, str]
    timeout_seconds: float


class Pause(Struct, frozen=True):
    """Wait for so many seconds."""

    seconds: float


class Reply(Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes


Steps = Generator[Send | Pause, Reply | httpx.RequestError | None, T]


class TagCache:
    """Bodies by request, with their tags (RFC 9110, 8.8.3). The latest `MAX_KNOWN_BYTES` are kept."""

    def __init__(self) -> None:
        self._known: Final[OrderedDict[object, tuple[str, bytes]]] = OrderedDict()
        self._bytes = 0
        self._lock: Final = Lock()

    def get(self, key: object) -> tuple[str, bytes] | None:
        """Return the tag and body of a request's last answer."""
        return self._known.get(key)

    def put(self, key: object, etag: str | None, body: bytes) -> None:
        """Keep an answer, or forget the last one if it has no tag. Threads may share the cache."""
        with self._lock:
            self._forget(self._known.pop(key, None))
            if etag is not None:
                self._known[key] = (etag, body)
                self._bytes += len(body)
            while self._bytes > MAX_KNOWN_BYTES:
                self._forget(self._known.popitem(last=False)[1])

    def _forget(self, known: tuple[str, bytes] | None) -> None:
        self._bytes -= 0 if known is None else len(known[1])


class Sending(Struct, frozen=True):
    """How calls are sent. `monotonic` returns seconds, `random` numbers in [0, 1)."""

    deadline_seconds: float
    cache: TagCache
    monotonic: Callable[[], float]
    random: Callable[[], float]

    def steps(self, call: Call[T], read_credential: Callable[[], str | None]) -> Steps[T]:
        """Give the steps of a call, and return its value. Raises the errors of `problems`."""
        deadline = self.deadline_seconds if call.deadline_seconds is None else call.deadline_seconds
        end = self.monotonic() + deadline + call.wait_seconds
        attempt = 0
        while True:
            left = end - self.monotonic()
            outcome = yield from self._once(call, read_credential(), left)
            if not isinstance(outcome, Exception):
                return outcome
            pause = self._pause(outcome, call, attempt)
            attempt += 1
            if pause is None or self.monotonic() + pause >= end:
                if isinstance(outcome, httpx.RequestError):
                    raise NoAnswerError("Nobody answered in time.") from outcome
                raise outcome
            yield Pause(pause)

    def _once(self, call: Call[T], credential: str | None, seconds: float) -> Steps[T | Exception]:
        key = (credential, call.path, tuple(sorted(call.params.items())))
        known = self.cache.get(key) if call.method == "GET" else None
        headers = {"Accept": "application/json", **call.headers}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        if known is not None:
            headers["If-None-Match"] = known[0]
        reply = yield Send(call, headers, seconds)
        if not isinstance(reply, Reply):
            return reply or NoAnswerError("Nothing was sent.")
        if reply.status == _NOT_MODIFIED and known is not None:
            return call.read(known[1], reply.headers)
        if reply.status >= _FIRST_ERROR and reply.status not in call.accepts:
            self.cache.put(key, None, b"")
            return make_error(reply.status, reply.body, reply.headers.get("retry-after"))
        value = call.read(reply.body, reply.headers)
        if call.method == "GET":
            self.cache.put(key, reply.headers.get("etag"), reply.body)
        return value

    def _pause(self, error: Exception, call: Call[T], attempt: int) -> float | None:
        """Return the seconds until the next attempt, or None if there is none."""
        if isinstance(error, httpx.RequestError):
            return back_off(attempt, self.random) if call.repeats else None
        if not isinstance(error, StatusError) or error.status not in _REPEATABLE or error.retry_after_seconds is None:
            return None
        if not call.repeats and error.status != _TOO_MANY:
            return None
        return error.retry_after_seconds + 0.25 * self.random()  # those refused together come apart


def back_off(attempt: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after a failed attempt, counted from 0: exponential, with full jitter above a tenth."""
    longest: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempt, 16))
    return longest * (0.1 + 0.9 * random())

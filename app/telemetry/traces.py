"""Traces: what a request did, and how long each part of it took. Off, and next to free, unless a collector is named."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final


class RequestSpan:
    """The span of a request; `trace_id` is None where it is not traced."""

    trace_id: str | None = None

    def annotate(self, method: str, path: str, status: int | None) -> None:
        """Say what the request was: `path` is its template, `status` None if it was not answered."""


_NOTHING: Final = nullcontext()
_REQUEST: Final = nullcontext(RequestSpan())


class Traces:
    """Trace nothing."""

    def request(self, _: Iterable[tuple[bytes, bytes]], /) -> AbstractContextManager[RequestSpan]:
        """Trace a request, as part of the trace that its `traceparent` names (W3C Trace Context)."""
        return _REQUEST

    def span(self, _: str, /) -> AbstractContextManager[None]:
        """Trace a part of a request; what belongs to no request is not traced."""
        return _NOTHING

    def close(self) -> None:
        """Send what is left, for at most a few seconds. Blocks."""

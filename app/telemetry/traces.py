"""Traces of requests and their parts. Off, and almost free, unless a collector is configured."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final


class RequestSpan:
    """The span of a request; `trace_id` is None if it is not traced."""

    trace_id: str | None = None

    def annotate(self, method: str, path: str, status: int | None) -> None:
        """Describe the request: `path` is its template, `status` None if it was not answered."""


_NOTHING: Final = nullcontext()
_REQUEST: Final = nullcontext(RequestSpan())


class Traces:
    """Traces that are off."""

    are_on = False

    def request(self, _: Iterable[tuple[bytes, bytes]], /) -> AbstractContextManager[RequestSpan]:
        """Trace a request, as part of the trace that its `traceparent` names (W3C Trace Context)."""
        return _REQUEST

    def span(self, _: str, /) -> AbstractContextManager[None]:
        """Trace a part of a request. Without a request, nothing is traced."""
        return _NOTHING

    def close(self) -> None:
        """Send the remaining spans, for at most a few seconds. Blocks."""

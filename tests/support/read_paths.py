"""The three paths of a read as three applications: the hot path, the framework bypass, and Litestar."""

from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, Final

from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from app.access.callers import Caller, Callers
from app.cache.cache import Cache
from app.errors import Unauthenticated
from app.resilience.draining import Drain
from app.telemetry.logs import add_request_fields
from app.telemetry.metrics import HotSeries, Metrics
from tests.support.apps import build_app
from tests.support.raw_asgi import Headers, ask_app

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

# what is audited is not answered by the hot path, so the bypass answers it
OPTIONS: Final[Mapping[str, Mapping[str, bool]]] = {
    "hot": {"audit_refusals": True},
    "bypass": {"audit_refusals": True, "audit_answers": True},
    "plain": {"audit_refusals": True, "audit_answers": True, "plain": True},
}


class _CountingSeries(HotSeries):
    """A series that also counts in `metrics`."""

    def __init__(self, metrics: "HotMetrics", series: HotSeries) -> None:
        super().__init__()
        self._metrics = metrics
        self._series = series

    def count(self, seconds: float, age_ms: int) -> None:
        self._metrics.hot_answers += 1
        self._series.count(seconds, age_ms)


class HotMetrics(Metrics):
    """Metrics that know how many answers the hot path gave."""

    hot_answers = 0

    def hot(self, path: str, method: str, status: int) -> HotSeries:
        return _CountingSeries(self, super().hot(path, method, status))


class ReadPath:
    """One application that answers by one path, with metrics of its own."""

    def __init__(self, name: str, cache: Cache, callers: Callers, drain: Drain, origins: frozenset[str]) -> None:
        self.name: Final = name
        self.metrics: Final = HotMetrics()
        self._app: Final = build_app(cache, callers, self.metrics, drain=drain, origins=origins, **OPTIONS[name])

    async def ask(self, target: str, method: str = "GET", headers: Headers = ()) -> Answer:
        """Ask, and return status, headers and body. The order of Allow is left out: it differs between any two runs."""
        with bound_contextvars(read_path=self.name):
            response = await ask_app(self._app, target, method, headers)
        sent = [
            (name, b", ".join(sorted(value.split(b", "))) if name == b"allow" else value)
            for name, value in response.headers.raw
        ]
        return response.status_code, sent, response.content


class LinesByPath:
    """Log lines, to be read by path."""

    def __init__(self, lines: list[Any]) -> None:
        self._lines = lines

    def of(self, path: ReadPath) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in line.items() if name not in {"read_path", "exc_info"}}
            for line in self._lines
            if line.get("read_path") == path.name
        ]


@contextmanager
def captured_logs() -> Any:
    """Capture log lines instead of writing them."""
    with capture_logs(processors=[merge_contextvars, add_request_fields]) as lines:
        yield LinesByPath(lines)


class ShortLivedTokens:
    """A verifier that accepts one token, until a moment."""

    def __init__(self, digest: str, until: float, monotonic: Any) -> None:
        self._digest = digest
        self._until = until
        self._monotonic = monotonic

    def find_known(self, digest: bytes) -> Caller | None:
        is_good = digest.hex() == self._digest and self._monotonic() < self._until
        return Caller("guest", "", "all") if is_good else None

    async def verify(self, text: str, digest: bytes) -> Caller:
        raise Unauthenticated("This token has expired.")

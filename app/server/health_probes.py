"""Health and metrics told for the workers, which need not even be asked: by what they shared last."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import json

from app.telemetry.exposition import Exposition, Page, Scrape
from app.telemetry.samples import WorkerHealth

SILENT_SECONDS: Final = 10.0
"""From when on a worker that shares each second counts as one whose event loop does not turn any more."""

_JSON: Final = "application/json"


class HealthProbes:
    """Answer probes for `workers` workers. `hear` gives what those that live shared last, `monotonic` their time."""

    def __init__(
        self, hear: Callable[[], Iterable[WorkerHealth]], workers: int, monotonic: Callable[[], float]
    ) -> None:
        self._hear: Final = hear
        self._workers: Final = workers
        self._monotonic: Final = monotonic

    def live(self, _accept: str) -> Page:
        """Tell that every worker that there should be was heard lately, or with 503 how many were."""
        heard = len(self._hear_lately())
        if heard >= self._workers:
            return Page(_JSON, b'{"status":"alive"}')
        return Page(_JSON, json.encode({"status": "not alive", "workers": self._workers, "heard": heard}), 503)

    def ready(self, _accept: str) -> Page:
        """Tell what a worker said that is ready, or with 503 what one said that is not."""
        best = max(self._hear_lately(), key=lambda one: (one.is_ready, one.at), default=None)
        if best is None:
            return Page(_JSON, b'{"status":"not ready"}', 503)
        return Page(_JSON, best.readiness, 200 if best.is_ready else 503)

    def _hear_lately(self) -> list[WorkerHealth]:
        since = self._monotonic() - SILENT_SECONDS
        return [one for one in self._hear() if one.at >= since]


def admin_pages(exposition: Exposition, workers: int, monotonic: Callable[[], float]) -> Mapping[str, Scrape]:
    """Say what is answered at the port of the metrics, by path."""
    probes = HealthProbes(exposition.health, workers, monotonic)
    return {"/metrics": exposition.page, "/health/live": probes.live, "/health/ready": probes.ready}

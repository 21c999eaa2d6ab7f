"""Health probes, answered from what the workers shared last, without asking them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import json

from app.telemetry.exposition import Exposition, Page, Scrape
from app.telemetry.samples import WorkerHealth

SILENT_SECONDS: Final = 10.0
"""After this silence, a worker's event loop counts as stopped: it shares once a second."""

_JSON: Final = "application/json"


class HealthProbes:
    """Probes of `workers` workers. `read_shared` gives what the live ones shared last, by the clock `monotonic`."""

    def __init__(
        self, read_shared: Callable[[], Iterable[WorkerHealth]], workers: int, monotonic: Callable[[], float]
    ) -> None:
        self._read_shared: Final = read_shared
        self._workers: Final = workers
        self._monotonic: Final = monotonic

    def live(self, _accept: str) -> Page:
        """Answer 200 if all workers shared lately, else 503 with how many did."""
        heard = len(self._heard_lately())
        if heard >= self._workers:
            return Page(_JSON, b'{"status":"alive"}')
        return Page(_JSON, json.encode({"status": "not alive", "workers": self._workers, "heard": heard}), 503)

    def ready(self, _accept: str) -> Page:
        """Answer with the readiness of a ready worker, else 503 with the last one shared."""
        best = max(self._heard_lately(), key=lambda one: (one.is_ready, one.at), default=None)
        if best is None:
            return Page(_JSON, b'{"status":"not ready"}', 503)
        return Page(_JSON, best.readiness, 200 if best.is_ready else 503)

    def _heard_lately(self) -> list[WorkerHealth]:
        since = self._monotonic() - SILENT_SECONDS
        return [one for one in self._read_shared() if one.at >= since]


def admin_pages(exposition: Exposition, workers: int, monotonic: Callable[[], float]) -> Mapping[str, Scrape]:
    """Give the pages of the admin port by their paths."""
    probes = HealthProbes(exposition.health, workers, monotonic)
    return {"/metrics": exposition.page, "/health/live": probes.live, "/health/ready": probes.ready}

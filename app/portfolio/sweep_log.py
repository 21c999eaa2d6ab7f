"""Log of a sweep: what the number of merchants means for the budget, and when the budget is too small."""

from typing import Final

import structlog

from app.errors import TallygateError
from app.portfolio.sweep_figures import Starvation, SweepOptions
from app.telemetry.log_throttle import LogThrottle

log = structlog.get_logger()


class SweepLog:
    """Log the size and the starvation of one replica's sweep, each when it changes, and what it cannot read."""

    def __init__(self, options: SweepOptions) -> None:
        self._options: Final = options
        self._starvation: Final = Starvation(options)
        self._sized = 0
        self._no_directory: Final = LogThrottle()

    def note_size(self, merchants: int) -> None:
        """Log what the number of merchants means for the budget, when it is first known, and when it has changed."""
        if merchants != self._sized:
            self._sized = merchants
            rate, seconds = self._options.per_second, self._options.round_seconds(merchants)
            log.info("sweep.sized", merchants=merchants, rate=rate, round_seconds=round(seconds, 1))

    def note_no_directory(self, error: TallygateError) -> None:
        """Log once a minute why the list of merchants cannot be read."""
        if self._no_directory.admits():
            unwritten = self._no_directory.unwritten
            log.warning("sweep.no_directory", error=type(error).__name__, detail=error.detail, unwritten=unwritten)

    def note_starvation(self, merchants: int, reached: float, *, demanded: bool) -> None:
        """Log when the sweep begins or ends to be starved. `demanded` says whether this replica sweeps."""
        is_starved = self._starvation.changed(merchants, reached, demanded=demanded)
        if is_starved:
            log.warning(
                "sweep.starved",
                merchants=merchants,
                rate=self._options.per_second,
                rate_that_would_do=round(self._options.rate_that_would_do(merchants, reached), 1),
            )
        elif is_starved is False:
            log.info("sweep.recovered", merchants=merchants)

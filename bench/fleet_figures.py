"""Conditions and figures of a modelled fleet."""

from collections import Counter
from statistics import quantiles

from msgspec import Struct, field

from app.balances.snapshots import AccountId


class Conditions(Struct, frozen=True, kw_only=True):
    """The load on a fleet, and its limits. It starts empty; readers pick merchants by Zipf's law with the exponent `skew`.

    Figures count from `warm_up_seconds` on. `way_seconds` is the median delay of one direction to or from Redis.
    """

    merchants: int
    budget: float
    replicas: int = 50
    reads_per_second: float = 1000
    seconds: float = 40
    warm_up_seconds: float = 10
    skew: float = 1.0
    upstream_seconds: float = 0.1
    concurrency: int = 16
    way_seconds: float = 0.000_15
    seed: int = 1


class Figures(Struct):
    """Results of a run. `calls` are those of the upstream, in order: seconds and account."""

    calls: list[tuple[float, AccountId]] = []
    ages: list[int] = []
    waits: list[float] = []
    failures: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    seconds: float = 0
    warm_up_seconds: float = 0

    @property
    def reads(self) -> int:
        """Return how many reads came after the warm-up."""
        return len(self.ages) + self.failures.total()

    @property
    def calls_per_second(self) -> float:
        """Return how often the upstream was called after the warm-up."""
        return sum(0 <= at - self.warm_up_seconds < self.seconds for at, _ in self.calls) / self.seconds

    @property
    def budget_spent(self) -> float:
        """Return the share of reads that got the problem `budget-spent`."""
        return self.failures["BudgetSpent"] / self.reads

    @property
    def failed_otherwise(self) -> float:
        """Return the share of reads that got another problem."""
        return self.failures.total() / self.reads - self.budget_spent

    @property
    def without_waiting(self) -> float:
        """Return the share of reads that were answered without waiting."""
        return 1 - (len(self.waits) + self.failures.total()) / self.reads

    def age_seconds(self, percent: int) -> float:
        """Return the age in seconds that so many per cent of the answers do not exceed."""
        return quantiles(self.ages, n=100)[percent - 1] / 1000

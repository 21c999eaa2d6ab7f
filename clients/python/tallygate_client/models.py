"""What the gateway answers, as frozen structs. Amounts are `Decimal`, and exactly those of the gateway.

Unknown fields are ignored, so that a later gateway may add some. Times are RFC 3339 in UTC.
"""

from datetime import datetime
from decimal import Decimal
from typing import Generic, Literal, TypeVar

from msgspec import Struct, field

T = TypeVar("T")


class Sums(Struct, frozen=True):
    """Amounts of one asset: `total` is `free` and `locked` together."""

    total: Decimal
    free: Decimal
    locked: Decimal


class Balance(Sums, frozen=True, rename="camel"):
    """One asset of an account."""

    asset_id: str
    asset: str
    asset_name: str


class AssetBalance(Balance, frozen=True, rename="camel"):
    """One asset of one merchant."""

    merchant_id: int
    as_of: datetime


class Anomaly(Struct, frozen=True, rename="camel"):
    """An oddity of the upstream's rows. `unreadable-asset` means that a row is missing."""

    kind: str
    asset_id: str | None = None
    rows: int | None = None


class Account(Struct, frozen=True, rename="camel"):
    """The balances of one merchant, or of all together as merchant 0.

    `as_of` is the time of the first answer with this content; the age of an answer says how old it is.
    """

    merchant_id: int
    can_deposit: bool
    as_of: datetime
    balances: tuple[Balance, ...]
    anomalies: tuple[Anomaly, ...] = ()


class PartProblem(Struct, frozen=True, rename="camel"):
    """Why a part is missing. `retry_after` is in seconds."""

    type: str
    title: str
    status: int
    detail: str
    retry_after: float | None = None

    @property
    def kind(self) -> str:
        """The name of the kind, such as `unknown-merchant`."""
        return self.type.rpartition("/")[2]


class FreshPart(Struct, frozen=True, rename="camel", tag="fresh", tag_field="status"):
    """A merchant in a view of many, as fresh as the gateway promises."""

    merchant_id: int
    can_deposit: bool
    as_of: datetime
    balances: tuple[Balance, ...]
    anomalies: tuple[Anomaly, ...] = ()
    merchant_name: str | None = None
    sequence: int | None = None
    skipped: int = 0


class StalePart(Struct, frozen=True, rename="camel", tag="stale", tag_field="status"):
    """A merchant in a view of many, older than it should be. Its rows have another name than those of `FreshPart`."""

    merchant_id: int
    can_deposit: bool
    as_of: datetime
    stale_balances: tuple[Balance, ...] = field(name="balances")
    anomalies: tuple[Anomaly, ...] = ()
    merchant_name: str | None = None
    sequence: int | None = None
    skipped: int = 0


class MissingPart(Struct, frozen=True, rename="camel", tag="unavailable", tag_field="status"):
    """A merchant in a view of many, of which nothing acceptable is known."""

    merchant_id: int
    problem: PartProblem
    merchant_name: str | None = None
    sequence: int | None = None
    skipped: int = 0


Part = FreshPart | StalePart | MissingPart


class Coverage(Struct, frozen=True):
    """How many merchants a view should have, and how many are fresh, stale, missing, or lack rows."""

    expected: int
    fresh: int
    stale: int
    unavailable: int
    partial: int = 0


class Listing(Struct, frozen=True, rename="camel", kw_only=True):
    """What all views of many merchants have."""

    complete: bool
    coverage: Coverage
    directory_as_of: datetime | None = None
    directory_stale: bool = False
    oldest_as_of: datetime | None = None
    newest_as_of: datetime | None = None


class Batch(Listing, frozen=True, rename="camel", kw_only=True):
    """Many merchants, in the order of the question."""

    merchants: tuple[Part, ...]


class Total(Balance, frozen=True, rename="camel"):
    """The sum of an asset over `merchants` merchants that list it."""

    merchants: int


class Sweep(Struct, frozen=True, rename="camel"):
    """How far the gateway is with fetching all merchants: about so many seconds until all are known, and for a round."""

    state: Literal["running", "idle", "starved"]
    seconds_to_whole: int
    seconds_to_round: int


class Breakdown(Listing, frozen=True, rename="camel", kw_only=True):
    """A page of all merchants. `totals` is there only if no merchant is missing, else `partial_totals`."""

    version: str
    merchants: tuple[Part, ...]
    totals: tuple[Total, ...] | None = None
    partial_totals: tuple[Total, ...] | None = None
    sweep: Sweep | None = None
    next: str | None = None


class Holder(Sums, frozen=True, rename="camel"):
    """A merchant that holds an asset. `share` is absent where shares cannot be known."""

    merchant_id: int
    status: Literal["fresh", "stale"]
    as_of: datetime
    merchant_name: str | None = None
    share: Decimal | None = None


class Holders(Listing, frozen=True, rename="camel", kw_only=True):
    """A page of the holders of an asset. `total` is there only if no merchant is missing, else `partial_total`."""

    asset_id: str
    version: str
    holders: tuple[Holder, ...]
    total: Total | None = None
    partial_total: Total | None = None
    no_shares: str | None = None
    sweep: Sweep | None = None
    next: str | None = None


class Merchant(Struct, frozen=True, rename="camel"):
    """A merchant, and its name where the upstream has one."""

    merchant_id: int
    merchant_name: str | None = None


class Merchants(Struct, frozen=True, rename="camel"):
    """A page of merchants by id."""

    merchants: tuple[Merchant, ...]
    directory_as_of: datetime | None = None
    directory_stale: bool = False
    next: str | None = None


class UpstreamAccount(Struct, frozen=True, rename="camel"):
    """A merchant's balances in the upstream's own shape."""

    can_deposit: bool
    balances: tuple[Balance, ...]
    anomalies: tuple[Anomaly, ...] = ()


class Envelope(Struct, Generic[T], frozen=True):
    """The upstream's own shape."""

    code: int
    msg: str
    data: T

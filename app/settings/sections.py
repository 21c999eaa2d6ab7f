"""Settings in sections, each of which one builder takes. Times are seconds, rates are calls a second."""

import math
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from app.balances.snapshots import AccountId
from app.secret import Secret
from app.telemetry.logs import LogFormat, LogLevel

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
SomeSeconds = Annotated[float, Meta(gt=0, le=3_600)]
PerSecond = Annotated[float, Meta(gt=0, le=100_000)]

Merchants = Annotated[str, Meta(pattern=r"\A(?:discover|[1-9][0-9]{0,18}(?:,[1-9][0-9]{0,18})*)\Z")]

DemandSeconds = Annotated[str, Meta(pattern=r"\A(?:always|[0-9]{1,5}(?:\.[0-9]{1,3})?)\Z")]


class Audited(StrEnum):
    """Which requests the audit log records."""

    NONE = "none"
    REFUSED = "refused"
    ALL = "all"


class HttpSettings(Struct, frozen=True, kw_only=True):
    """Where and how requests are served."""

    host: str = "127.0.0.1"
    port: Port = 8080
    cors_origins: frozenset[str] = frozenset()
    request_timeout_seconds: SomeSeconds = 30
    connections: Count = 1000
    streams: Annotated[int, Meta(ge=0, le=10_000)] = 250


class UpstreamSettings(Struct, frozen=True, kw_only=True, rename=lambda name: f"upstream_{name}"):
    """Where the upstream is, which token it accepts, and how often the fleet may call it."""

    url: str
    token: Secret | None = None
    token_file: str | None = None
    api_key: Secret | None = None
    api_secret: Secret | None = None
    timeout_seconds: SomeSeconds = 5
    rate: PerSecond = 10
    burst: Annotated[float, Meta(ge=1, le=100_000)] | None = None
    concurrency: Count = 16
    connection_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 300
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    event_keys_file: str | None = None


class RedisSettings(Struct, frozen=True, kw_only=True, rename=lambda name: f"redis_{name}"):
    """Where Redis is, and how long a command may take."""

    url: Secret | None = None
    url_file: str | None = None
    timeout_seconds: SomeSeconds = 0.05


class HistorySettings(Struct, frozen=True, kw_only=True, rename=lambda name: f"history_{name}"):
    """For how long changes are kept, how many bytes of them, and where, if not beside the balances."""

    seconds: Annotated[float, Meta(ge=0, le=315_360_000)] = 604_800
    bytes: Annotated[int, Meta(ge=0, le=2**50)] = 256 * 1024 * 1024
    redis_url: Secret | None = None
    redis_url_file: str | None = None


class StoreSettings(Struct, frozen=True):
    """Where the history is, by which variable that is set, and of which upstream it is, None if that is not set."""

    redis: RedisSettings
    variable: str
    upstream_url: str | None


class AccessSettings(Struct, frozen=True, kw_only=True):
    """Who may call, and what is logged about it."""

    clients_file: str
    wrong_keys_rate: PerSecond = 5
    audit: Audited = Audited.REFUSED
    trusted_proxies: tuple[str, ...] = ()


class FreshnessSettings(Struct, frozen=True, kw_only=True):
    """How old balances may be."""

    fresh_seconds: Seconds = 5
    stale_while_revalidate_seconds: Seconds = 30
    stale_if_error_seconds: Seconds = 600
    absent_seconds: Seconds = 10


class DirectorySettings(Struct, frozen=True, kw_only=True, rename={"refresh_seconds": "directory_refresh_seconds"}):
    """Which merchants there are, and how often their sum is compared with the aggregate."""

    merchants: Merchants = "discover"
    refresh_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 300
    reconcile_every_seconds: Seconds = 0

    @property
    def known_merchants(self) -> tuple[AccountId, ...] | None:
        """The configured merchants without duplicates; None if they are to be discovered."""
        return None if self.merchants == "discover" else tuple(map(AccountId, dict.fromkeys(self.merchants.split(","))))


class PortfolioSettings(
    Struct,
    frozen=True,
    kw_only=True,
    rename={"demand": "portfolio_demand_seconds", "stale_seconds": "portfolio_stale_seconds"},
):
    """How long a view of all merchants keeps them young, how old its parts may be, and what that may cost."""

    demand: DemandSeconds = "900"
    stale_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 3600
    sweep_share: Annotated[float, Meta(ge=0.05, le=1)] = 0.8

    @property
    def demand_seconds(self) -> float:
        """For how long there is demand after a request, infinite for `always`."""
        return math.inf if self.demand == "always" else float(self.demand)


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """Where logs, metrics and traces go."""

    otlp_endpoint: Annotated[str, Meta(pattern=r"\Ahttps?://[^/?#@]+/?\Z")] | None = None
    metrics_port: Port | None = None
    log_format: LogFormat = LogFormat.JSON
    log_level: LogLevel = LogLevel.INFO


class ProcessSettings(Struct, frozen=True, kw_only=True):
    """How many processes serve, how they end, and whether they do without every optimisation (`plain`)."""

    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    drain_seconds: Annotated[float, Meta(ge=0, le=600)] = 5
    plain: bool = False


class Settings(Struct, frozen=True, kw_only=True):
    """All settings, checked. The README describes each."""

    http: HttpSettings
    upstream: UpstreamSettings
    redis: RedisSettings
    history: HistorySettings
    access: AccessSettings
    freshness: FreshnessSettings
    directory: DirectorySettings
    portfolio: PortfolioSettings
    telemetry: TelemetrySettings
    process: ProcessSettings

"""The API, put together: Litestar with our routes and errors, and the layers around it."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from random import SystemRandom
from typing import Final

from litestar import Litestar, Router
from litestar.di import Provide
from msgspec import Struct

from app.access.callers import Callers
from app.access.client_addresses import ClientAddresses
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts
from app.api.middleware.audit import Audit
from app.api.middleware.cors import Cors
from app.api.middleware.deadline import RequestDeadline
from app.api.middleware.edge import Edge, Identification
from app.api.openapi.document import openapi_config
from app.api.reads.account_reads import AccountReads
from app.api.reads.admission import Admission
from app.api.reads.bypass import bypass_framework
from app.api.reads.hot_path import HotPath
from app.api.rendering.batch_fragments import BatchFragments
from app.api.rendering.representations import RepresentationCache
from app.api.requests.request_ids import RequestIds
from app.api.routes.accounts import account_routes
from app.api.routes.batch import BATCH
from app.api.routes.exchange import Exchange, choose_output_format
from app.api.routes.framework_errors import respond_with_problem
from app.api.routes.guards import guard_routes
from app.api.routes.history import HISTORY
from app.api.routes.litestar_quirks import AnyRequest, NoDocumentPages
from app.api.routes.moved import MOVED, event_routes
from app.api.routes.paging import Paginator
from app.api.routes.portfolio import PORTFOLIO
from app.api.routes.service import ReadinessProbe, service_routes
from app.cache.freshness import FreshnessPolicy
from app.moved.events import Events
from app.moved.notices import Notices
from app.portfolio.portfolio import Portfolio
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.telemetry.exposition import Scrape

REPRESENTATIONS: Final = 50_000
REPRESENTATION_BYTES: Final = 128 * 1024 * 1024
FRAGMENT_BYTES: Final = 64 * 1024 * 1024


class ApiOptions(Struct, frozen=True, kw_only=True):
    """Values that shape the API.

    A request that takes longer than `deadline_seconds` ends with a problem. Web apps of `origins` may read answers.
    `plain` switches off the hot path and the framework bypass: Litestar answers every request.
    """

    version: str
    policy: FreshnessPolicy
    deadline_seconds: float = 30
    origins: frozenset[str] = frozenset()
    audit_refusals: bool = False
    audit_answers: bool = False
    plain: bool = False


class Access(Struct, frozen=True):
    """Who may call, which addresses sent wrong credentials, and how the address of a caller is found."""

    callers: Callers
    failed_logins: FailedLogins
    addresses: ClientAddresses


class Moved(Struct, frozen=True):
    """What takes notice of moves. Without `events` the upstream cannot report any."""

    notices: Notices
    events: Events | None = None


class ServicePages(Struct, frozen=True):
    """What the service's own paths show and take. Without `scrape` there is no page of metrics."""

    look: ReadinessProbe
    scrape: Scrape | None
    drain: Drain
    moved: Moved | None = None


def build_api(
    options: ApiOptions,
    access: Access,
    accounts: Accounts,
    portfolio: Portfolio,
    service: ServicePages,
    runtime: Runtime,
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
) -> Edge:
    """Build the ASGI application."""
    admission = Admission(access.callers, access.failed_logins)
    representations = RepresentationCache(REPRESENTATIONS, REPRESENTATION_BYTES)
    reads = AccountReads(admission, accounts, representations, options.policy, runtime.unix_ms)
    request_ids = RequestIds(SystemRandom().getrandbits)
    hot_path = HotPath(reads, access.callers, accounts, options.policy, request_ids, runtime)
    dependencies = _dependencies(accounts, portfolio, options.policy, runtime)
    app = Litestar(
        route_handlers=[
            guard_routes("Balances", BATCH, admission, dependencies),
            account_routes("Balances", reads),
            guard_routes("Portfolio", PORTFOLIO, admission, dependencies),
            guard_routes("Past", HISTORY, admission, dependencies),
            *_moved_routes(service.moved, admission, access.failed_logins, dependencies),
            service_routes(service.look, service.scrape),
        ],
        exception_handlers={Exception: respond_with_problem},
        openapi_config=openapi_config(options.version, NoDocumentPages(path="/")),
        lifespan=list(lifespan),
        logging_config=None,
    )
    return Edge(
        RequestDeadline(app if options.plain else bypass_framework(app, reads), options.deadline_seconds),
        hot_path=None if options.plain else hot_path,
        audit=Audit(runtime.monotonic, refusals=options.audit_refusals, answers=options.audit_answers),
        cors=Cors(options.origins) if options.origins else None,
        drain=service.drain,
        identification=Identification(request_ids, access.addresses),
        runtime=runtime,
    )


def _moved_routes(
    moved: Moved | None, admission: Admission, failed_logins: FailedLogins, dependencies: dict[str, Provide]
) -> Iterable[Router]:
    notices = None if moved is None else moved.notices
    named = {"notices": Provide(lambda: notices, sync_to_thread=False)}
    yield guard_routes("Moves", MOVED, admission, dependencies | named)
    if moved is not None and moved.events is not None:
        yield event_routes(moved.events, failed_logins)


def _dependencies(
    accounts: Accounts, portfolio: Portfolio, policy: FreshnessPolicy, runtime: Runtime
) -> dict[str, Provide]:
    fragments = BatchFragments(FRAGMENT_BYTES)

    def make_exchange(request: AnyRequest) -> Exchange:
        return Exchange(request, accounts=accounts, fragments=fragments, policy=policy, unix_ms=runtime.unix_ms)

    return {
        "exchange": Provide(make_exchange, sync_to_thread=False),
        "output_format": Provide(choose_output_format, sync_to_thread=False),
        "portfolio": Provide(lambda: portfolio, sync_to_thread=False),
        "pages": Provide(lambda: Paginator(portfolio.versions), sync_to_thread=False),
    }

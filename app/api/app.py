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
from app.api.middleware.edge import Edge, Front, Identification
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
from app.api.routes.client import client_routes
from app.api.routes.exchange import Exchange, choose_output_format
from app.api.routes.framework_errors import respond_with_problem
from app.api.routes.guards import guard_routes
from app.api.routes.history import HISTORY, read_window
from app.api.routes.litestar_quirks import AnyRequest, NoDocumentPages
from app.api.routes.me import ME
from app.api.routes.moved import MOVED, event_routes
from app.api.routes.paging import Paginator
from app.api.routes.portfolio import PORTFOLIO
from app.api.routes.service import ReadinessProbe, service_routes
from app.api.routes.watch import watch_routes
from app.api.streams.live import Live
from app.api.streams.watch import Watch
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


class Balances(Struct, frozen=True):
    """What answers questions about balances. Without `live`, no stream opens and no read waits."""

    accounts: Accounts
    portfolio: Portfolio
    live: Live | None = None


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
    balances: Balances,
    service: ServicePages,
    runtime: Runtime,
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
) -> Edge:
    """Build the ASGI application."""
    admission = Admission(access.callers, access.failed_logins)
    representations = RepresentationCache(REPRESENTATIONS, REPRESENTATION_BYTES)
    accounts, live = balances.accounts, balances.live
    polls = None if live is None else live.long_polls
    reads = AccountReads(admission, accounts, representations, options.policy, runtime.unix_ms, polls)
    request_ids = RequestIds(SystemRandom().getrandbits)
    hot_path = HotPath(reads, access.callers, accounts, options.policy, request_ids, runtime)
    dependencies = _dependencies(balances, options.policy, runtime)
    app = Litestar(
        route_handlers=[
            guard_routes("Balances", BATCH, admission, dependencies),
            account_routes("Balances", reads),
            guard_routes("Portfolio", PORTFOLIO, admission, dependencies),
            watch_routes("Balances"),
            guard_routes("Past", HISTORY, admission, dependencies),
            guard_routes("Caller", ME, admission, dependencies),
            *_moved_routes(service.moved, admission, access.failed_logins, dependencies),
            service_routes(service.look, service.scrape),
            client_routes(),
        ],
        exception_handlers={Exception: respond_with_problem},
        openapi_config=openapi_config(options.version, NoDocumentPages(path="/")),
        lifespan=list(lifespan),
        logging_config=None,
    )
    return Edge(
        RequestDeadline(app if options.plain else bypass_framework(app, reads), options.deadline_seconds),
        front=Front(
            None if options.plain else hot_path,
            None if live is None else Watch(admission, access.callers, live.scopes, live.streams, runtime),
        ),
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


def _dependencies(balances: Balances, policy: FreshnessPolicy, runtime: Runtime) -> dict[str, Provide]:
    fragments = BatchFragments(FRAGMENT_BYTES)
    polls = None if balances.live is None else balances.live.long_polls

    def make_exchange(request: AnyRequest) -> Exchange:
        return Exchange(
            request,
            accounts=balances.accounts,
            fragments=fragments,
            policy=policy,
            unix_ms=runtime.unix_ms,
            long_polls=polls,
        )

    return {
        "exchange": Provide(make_exchange, sync_to_thread=False),
        "output_format": Provide(choose_output_format, sync_to_thread=False),
        "portfolio": Provide(lambda: balances.portfolio, sync_to_thread=False),
        "window": Provide(read_window, sync_to_thread=False),
        "pages": Provide(lambda: Paginator(balances.portfolio.versions), sync_to_thread=False),
    }

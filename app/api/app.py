"""The face, put together: Litestar with our routes and errors, behind the edge."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from random import SystemRandom
from typing import Final

import structlog
from litestar import Litestar, Response
from litestar.di import Provide
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)

from app.access.callers import Callers
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts
from app.api.context import render_refusal
from app.api.middleware.audit import Audit
from app.api.middleware.cors import Cors
from app.api.middleware.deadline import RequestDeadline
from app.api.middleware.edge import Edge
from app.api.openapi.document import openapi_config
from app.api.reads.account_reads import ShortWay
from app.api.reads.admission import Admission
from app.api.reads.hot_path import HotPath
from app.api.rendering.batch_fragments import BatchFragments
from app.api.rendering.representations import RepresentationCache
from app.api.requests.request_ids import RequestIds
from app.api.routes.accounts import answer_routes
from app.api.routes.exchange import AnyRequest, Exchange, as_response, read_form
from app.api.routes.paging import Paginator
from app.api.routes.service import ReadinessProbe, service_routes
from app.cache.freshness import FreshnessPolicy
from app.errors import (
    BodyTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    RequestError,
    TallygateError,
    UnknownPath,
)
from app.portfolio.portfolio import Portfolio
from app.resilience.draining import Drain
from app.telemetry.exposition import Scrape
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces

REPRESENTATIONS: Final = 50_000
REPRESENTATION_BYTES: Final = 128 * 1024 * 1024
FRAGMENT_BYTES: Final = 64 * 1024 * 1024

log = structlog.get_logger()


def build_api(
    *,
    accounts: Accounts,
    portfolio: Portfolio,
    callers: Callers,
    failures: FailedLogins,
    policy: FreshnessPolicy,
    look: ReadinessProbe,
    version: str,
    now_ms: Callable[[], int],
    metrics: Metrics | None = None,
    scrape: Scrape | None = None,
    drain: Drain | None = None,
    traces: Traces | None = None,
    audit: Audit | None = None,
    deadline_seconds: float = 30,
    origins: Collection[str] = (),
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
) -> Edge:
    """Build the ASGI application. `now_ms` is Unix time in milliseconds; without `scrape` it shows no metrics.

    Pages of `origins` may read answers. What takes longer than `deadline_seconds` ends with a problem.
    """
    metrics = metrics or Metrics()
    representations = RepresentationCache(REPRESENTATIONS, REPRESENTATION_BYTES)
    fragments = BatchFragments(FRAGMENT_BYTES)
    request_ids = RequestIds(SystemRandom().getrandbits)

    def make_exchange(request: AnyRequest) -> Exchange:
        return Exchange(
            request,
            accounts=accounts,
            representations=representations,
            fragments=fragments,
            policy=policy,
            now_ms=now_ms,
        )

    dependencies = {
        "exchange": Provide(make_exchange, sync_to_thread=False),
        "form": Provide(read_form, sync_to_thread=False),
        "portfolio": Provide(lambda: portfolio, sync_to_thread=False),
        "pages": Provide(lambda: Paginator(portfolio.versions), sync_to_thread=False),
    }
    admission = Admission(callers, failures)
    app = Litestar(
        route_handlers=[
            *answer_routes(admission, dependencies),
            service_routes(look, scrape),
        ],
        exception_handlers={Exception: respond_with_problem},
        openapi_config=openapi_config(version),
        lifespan=list(lifespan),
        logging_config=None,
    )
    short_way = ShortWay(
        app,
        callers=callers,
        admission=admission,
        accounts=accounts,
        representations=representations,
        policy=policy,
        blame=translate_error,
        now_ms=now_ms,
    )
    return Edge(
        RequestDeadline(short_way, deadline_seconds),
        metrics,
        drain or Drain(),
        request_ids,
        hot_path=HotPath(
            callers=callers,
            accounts=accounts,
            representations=representations,
            policy=policy,
            metrics=metrics,
            request_ids=request_ids,
            now_ms=now_ms,
        ),
        audit=audit,
        cors=Cors(origins) if origins else None,
        traces=traces,
    )


def respond_with_problem(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer any error of any kind as a problem; one that nobody foresaw is logged with its trace, and no more said."""
    return as_response(render_refusal(translate_error(error), request.scope))


_MISSING: Final = re.compile("Missing required query parameter ('[^']+')")


def translate_error(error: Exception) -> TallygateError:
    """Say any error as one of ours; what nobody foresaw is logged."""
    match error:
        case TallygateError():
            return error
        case NotFoundException():
            return UnknownPath("Nothing is served at this path.")
        case MethodNotAllowedException(headers=headers):
            allow = (headers or {}).get("allow", "GET, OPTIONS")
            return MethodNotAllowed("The path does not take this method.", allow=allow)
        case HTTPException(status_code=status) if status < 500:  # noqa: PLR2004
            return _translate_http_error(error)
        case _:
            log.error("request.crashed", exc_info=error)
            return InternalError("Something went wrong here.")


def _translate_http_error(error: HTTPException) -> RequestError:
    """Say what is wrong with a request that the framework could not read."""
    match error:
        case ValidationException(extra=list(faults)):
            return InvalidRequest("; ".join(map(_describe_fault, faults)))
        case ValidationException(detail=detail) if missing := _MISSING.search(detail):
            return InvalidRequest(f"The parameter {missing[1]} is missing.")
        case ClientException(__cause__=SerializationException()):
            return InvalidRequest("The body is no JSON.")
        case HTTPException(status_code=413):
            return BodyTooLarge("This body is too large.")
        case _:
            return InvalidRequest("The request cannot be read.")


def _describe_fault(fault: Mapping[str, str]) -> str:
    """Say what is wrong where; what Litestar calls `data` is the body, and it says `'data'` where there is none."""
    if fault["message"] == "'data'":
        return "This wants a body."
    return f"{'body' if fault['key'] == 'data' else fault['key']}: {fault['message']}"

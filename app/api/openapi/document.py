"""What the OpenAPI document says about every balance answer: its headers, its errors, how to send a key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Request, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Schema,
    SecurityScheme,
)
from litestar.params import PathParameter, QueryParameter

from app.api.problem_kinds import PROBLEMS
from app.api.rendering.problems import MEDIA_TYPE
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.requests.parameters import (
    ASSETS_PATTERN,
    CURSOR_PATTERN,
    LIMIT_PATTERN,
    MAX_SEARCH,
    MERCHANT_ID_PATTERN,
    MERCHANT_IDS_PATTERN,
    SORT_PATTERN,
)
from app.api.views.accounts import UpstreamEnvelope
from app.api.views.problems import Problem

MerchantIdParameter = Annotated[
    str,
    PathParameter(description="1 to 19 digits.", schema_extra={"pattern": MERCHANT_ID_PATTERN, "examples": ["12345"]}),
]
AssetIdParameter = Annotated[str, PathParameter(description="The asset, as the upstream names it.")]
AssetsParameter = Annotated[
    str | None,
    QueryParameter(
        name="assets",
        description="Only these assets: ids, separated by commas.",
        schema_extra={"pattern": ASSETS_PATTERN, "examples": ["USDT,BTC"]},
    ),
]
FlagParameter = Annotated[
    str | None,
    QueryParameter(
        name="nonzero", description="`true`: only assets that are held.", schema_extra={"enum": ["true", "false"]}
    ),
]
MerchantIdsParameter = Annotated[
    str,
    QueryParameter(
        name="merchantId",
        description="1 to 1,000 merchant ids, separated by commas.",
        schema_extra={"pattern": MERCHANT_IDS_PATTERN, "examples": ["12345,10001"]},
    ),
]
RequireParameter = Annotated[
    str | None,
    QueryParameter(
        name="require",
        description="`complete`: a 502 if any part failed, instead of what there is.",
        schema_extra={"enum": ["complete"]},
    ),
]
AccountIdParameter = Annotated[
    str,
    QueryParameter(
        name="merchantId",
        description="1 to 19 digits, or 0 for all merchants together.",
        schema_extra={"pattern": MERCHANT_ID_PATTERN.replace("^", "^0$|^", 1), "examples": ["12345"]},
    ),
]
SortParameter = Annotated[
    str | None,
    QueryParameter(
        name="sort",
        description="`id`, or an asset that a merchant lists: its total, the smallest first; with `-` before it, the other way round.",
        schema_extra={"pattern": SORT_PATTERN, "examples": ["-USDT"]},
    ),
]
FormatParameter = Annotated[
    str | None,
    QueryParameter(
        name="format",
        description="Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal.",
        schema_extra={"enum": ["json", "csv", "text"]},
    ),
]
SearchParameter = Annotated[
    str | None,
    QueryParameter(
        name="search",
        description="Only those whose name contains this, or whose id begins with it.",
        schema_extra={"minLength": 1, "maxLength": MAX_SEARCH, "examples": ["1234"]},
    ),
]
AfterMerchantParameter = Annotated[
    str | None,
    QueryParameter(
        name="after",
        description="The `next` of the page before.",
        schema_extra={"pattern": MERCHANT_ID_PATTERN, "examples": ["1"]},
    ),
]
LimitParameter = Annotated[
    str | None,
    QueryParameter(
        name="limit",
        description="How many on a page: 1 to 1000, 100 if left out.",
        schema_extra={"pattern": LIMIT_PATTERN, "examples": ["100"]},
    ),
]
AfterParameter = Annotated[
    str | None,
    QueryParameter(
        name="after",
        description="`next` of the page before: the one that follows, of the same version of the view.",
        schema_extra={"pattern": CURSOR_PATTERN},
    ),
]
ReconciliationIdParameter = Annotated[str, PathParameter(description="The id that the POST gave.")]

_ABOUT: Final = """\
Merchants' crypto balances: exact, fresh, honest about what is stale or missing. Amounts are decimal strings. Every \
balance answer tells its age in seconds (Age), where it came from (Cache-Status; a negative ttl means stale), and the \
tag under which If-None-Match finds it unchanged (ETag, over the content without asOf). Cache-Control in a request says \
how old an answer may be: max-age, max-stale, min-fresh, no-cache, only-if-cached."""

_SWEEP: Final = (
    "For callers who may read all merchants: how their fetching is (`running`, `idle`, `starved`), in how many seconds "
    "every merchant is known, and how many a round over all takes. A structured field (RFC 9651)."
)

SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"token": []}]


def document_responses(
    view: type, *, described: str, not_found: bool, paged: bool = False, takes_body: bool = False
) -> Mapping[int, ResponseSpec]:
    """List the answers of a balance path: the view, a 304, and every problem that it can give, by status."""
    never = {405} | (set() if not_found else {404}) | (set() if paged else {410})
    never |= set() if takes_body else {408, 413}
    statuses = {kind.status for kind in PROBLEMS.values()} - never
    return {
        200: ResponseSpec(view, generate_examples=False, description=described),
        304: ResponseSpec(None, generate_examples=False, description="What If-None-Match names is still so."),
        **_document_problems(statuses, UpstreamEnvelope if view is UpstreamEnvelope else Problem),
    }


@dataclass
class InFormats(Operation):
    """An operation whose answer is JSON or a table for people: of an answer, Litestar documents one media type."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            table = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
            answer.content |= {MEDIA_TYPES[form].partition(";")[0]: table for form in (Format.CSV, Format.TEXT)}


@dataclass
class InPages(InFormats):
    """An operation over all merchants: its answer says how their fetching is, in a header, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse):
            schema = Schema(type=OpenAPIType.STRING, examples=["running; whole=143; round=201"])
            answer.headers = {**(answer.headers or {}), "Sweep": OpenAPIHeader(description=_SWEEP, schema=schema)}


def document_service(view: type, *, described: str) -> Mapping[int, ResponseSpec]:
    """List the answers of a path about the service itself."""
    return {200: ResponseSpec(view, generate_examples=False, description=described)} | _document_problems(
        {400, 414, 431, 500}, Problem
    )


def _document_problems(statuses: Iterable[int], error: type) -> dict[int, ResponseSpec]:
    media_type = MEDIA_TYPE if error is Problem else "application/json"
    return {
        status: ResponseSpec(error, generate_examples=False, media_type=media_type, description=_titles(status))
        for status in sorted(statuses)
    }


def _titles(status: int) -> str:
    return "; ".join(dict.fromkeys(kind.title for kind in PROBLEMS.values() if kind.status == status)) + "."


class _NoPages(OpenAPIRenderPlugin):
    """Take away the paths that Litestar adds for a document: ours are in `service.py`, and load nothing from elsewhere."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Render nothing: no path leads here."""
        raise NotImplementedError

    def receive_router(self, router: Router) -> None:
        """Leave the router without routes."""
        router.routes.clear()


def openapi_config(version: str) -> OpenAPIConfig:
    """Describe the service."""
    return OpenAPIConfig(
        title="Tallygate",
        version=version,
        description=_ABOUT,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http", scheme="bearer", description="Your Tallygate key, or your token."
                ),
                "token": SecurityScheme(
                    type="apiKey", name="X-BH-TOKEN", security_scheme_in="header", description="The same."
                ),
            }
        ),
        render_plugins=[_NoPages(path="/")],
    )

"""OpenAPI document: the parameters, responses and errors of all paths, and how to send a key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    Contact,
    License,
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
from app.api.requests import parameters
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.requests.moments import MOMENT_PATTERN
from app.api.views.accounts import UpstreamEnvelope
from app.api.views.problems import Problem
from app.balances.merchants import MAX_MERCHANT_ID
from app.balances.snapshots import MAX_NAME_CHARACTERS
from app.history.cursors import CURSOR_PATTERN


def _path(description: str, **schema: Any) -> PathParameter:
    return PathParameter(description=description, schema_extra=schema)


_WHOLE: Final[dict[str, Any]] = {"type": OpenAPIType.INTEGER, "maximum": MAX_MERCHANT_ID}


def _query(name: str, description: str, pattern: str, *examples: str) -> QueryParameter:
    schema = {"pattern": pattern, "examples": [*examples]} if examples else {"pattern": pattern}
    return QueryParameter(name=name, description=description, schema_extra=schema)


def _choice(name: str, description: str, *values: str) -> QueryParameter:
    return QueryParameter(name=name, description=description, schema_extra={"enum": [*values]})


MerchantIdParameter = Annotated[
    str, _path("The merchant, as the upstream numbers it.", **_WHOLE, minimum=1, examples=[12345])
]
_ASSET_ID: Final = "The asset, as the upstream names it, percent-encoded: a `/` in it is `%2F`."
AssetIdParameter = Annotated[
    str, _path(_ASSET_ID, minLength=1, maxLength=MAX_NAME_CHARACTERS, examples=["USDT", "ibc/27394FB0"])
]
_ASSETS: Final = (
    "Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode."
)
ReconciliationIdParameter = Annotated[str, _path("The id that the POST gave.")]
AccountIdParameter = Annotated[
    str,
    QueryParameter(
        name="merchantId",
        description="The merchant, or 0 for all merchants together.",
        schema_extra={**_WHOLE, "minimum": 0, "examples": [12345]},
    ),
]
MerchantIdsParameter = Annotated[
    str,
    QueryParameter(
        name="merchantId",
        description="1 to 1,000 merchant ids, separated by commas.",
        schema_extra={
            "type": OpenAPIType.ARRAY,
            "items": Schema(**_WHOLE, minimum=1),
            "min_items": 1,
            "max_items": parameters.MAX_MERCHANTS,
            "examples": [[12345, 10001]],
        },
    ),
]
AssetsParameter = Annotated[str | None, _query("assets", _ASSETS, parameters.ASSETS_PATTERN, "USDT,BTC")]
FlagParameter = Annotated[str | None, _choice("nonzero", "`true`: only assets that are held.", "true", "false")]
RequireParameter = Annotated[
    str | None, _choice("require", "`complete`: a 502 if any part failed, instead of what there is.", "complete")
]
_FORMATS: Final = "Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal."
FormatParameter = Annotated[str | None, _choice("format", _FORMATS, "json", "csv", "text")]
_BOM: Final = "With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some."
BomParameter = Annotated[str | None, _choice("bom", _BOM, "true", "false")]
_ORDERS: Final = (
    "`id`, or an asset that a merchant lists: its total, the smallest first; with `-` before it, the other way round."
)
SortParameter = Annotated[str | None, _query("sort", _ORDERS, parameters.SORT_PATTERN, "-USDT")]
LimitParameter = Annotated[
    str | None,
    QueryParameter(
        name="limit",
        description="How many on a page.",
        schema_extra={"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": 1000, "default": 100},
    ),
]
_NEXT: Final = "`next` of the page before: the one that follows, of the same version of the view."
AfterParameter = Annotated[str | None, _query("after", _NEXT, parameters.CURSOR_PATTERN)]
AfterMerchantParameter = Annotated[
    str | None, _query("after", "The `next` of the page before.", parameters.MERCHANT_ID_PATTERN, "1")
]
FromParameter = Annotated[
    str | None, _query("from", "Changes found from then on (RFC 3339).", MOMENT_PATTERN, "2026-11-25T17:00:00.000Z")
]
UntilParameter = Annotated[
    str | None, _query("until", "Changes found before then.", MOMENT_PATTERN, "2026-11-25T18:00:00.000Z")
]
_AT: Final = "The past: how it was at that moment. It goes with no request directives."
AtParameter = Annotated[str | None, _query("at", _AT, MOMENT_PATTERN, "2026-11-25T17:00:00.000Z")]
AfterChangeParameter = Annotated[str | None, _query("after", "The `next` of the answer before.", CURSOR_PATTERN)]
ALL_MERCHANTS: Final = "all"
FeedMerchantsParameter = Annotated[
    str,
    _query(
        "merchantId",
        "1 to 1,000 merchant ids, separated by commas, or `all` that you may read.",
        f"^(?:{ALL_MERCHANTS}|[1-9][0-9]{{0,15}}(?:,[1-9][0-9]{{0,15}})*)$",
        "12345,10001",
        ALL_MERCHANTS,
    ),
]
SearchParameter = Annotated[
    str | None,
    QueryParameter(
        name="search",
        description="Only those whose name contains this, or whose id begins with it.",
        schema_extra={"minLength": 1, "maxLength": parameters.MAX_SEARCH, "examples": ["1234"]},
    ),
]

_ABOUT: Final = """\
Merchants' crypto balances: exact, fresh, honest about what is stale or missing. Amounts are decimal strings. Every \
balance answer gives its age in seconds (Age), where it came from (Cache-Status; a negative ttl means stale), and the \
tag under which If-None-Match finds it unchanged (ETag, over the content without asOf). Cache-Control in a request says \
how old an answer may be: max-age, max-stale, min-fresh, no-cache, only-if-cached."""

_SWEEP: Final = (
    "For callers who may read all merchants: how their fetching is (`running`, `idle`, `starved`), in how many seconds "
    "every merchant is known, and how many a round over all takes. A structured field (RFC 9651)."
)

SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"token": []}]


def balance_responses(
    view: Any,
    described: str,
    *,
    not_found: bool = True,
    paged: bool = False,
    takes_body: bool = False,
    status: int = 200,
) -> dict[int, ResponseSpec]:
    """List the responses of a GET of balances by status: the view, a 304, and every possible problem."""
    never = {405} | (set() if not_found else {404}) | (set() if paged else {410})
    never |= set() if takes_body else {408, 413}
    statuses = {kind.status for kind in PROBLEMS.values()} - never
    return {
        status: ResponseSpec(view, generate_examples=False, description=described),
        304: ResponseSpec(None, generate_examples=False, description="What If-None-Match names is still so."),
        **problem_responses(statuses, UpstreamEnvelope if view is UpstreamEnvelope else Problem),
    }


def post_responses(
    view: type, described: str, *, takes_body: bool = False, status: int = 200
) -> dict[int, ResponseSpec]:
    """List the responses of a POST: like those of a GET, without 304."""
    responses = balance_responses(view, described, not_found=False, takes_body=takes_body, status=status)
    del responses[304]
    return responses


@dataclass
class InFormats(Operation):
    """An operation whose response is JSON or a table. Litestar documents only one media type of a response."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            table = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
            answer.content |= {
                MEDIA_TYPES[table_format].partition(";")[0]: table for table_format in (Format.CSV, Format.TEXT)
            }


@dataclass
class InPages(InFormats):
    """An operation over all merchants: its answer says how their fetching is, in a header, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse):
            schema = Schema(type=OpenAPIType.STRING, examples=["running; whole=143; round=201"])
            answer.headers = {**(answer.headers or {}), "Sweep": OpenAPIHeader(description=_SWEEP, schema=schema)}


def past_responses(view: type, described: str) -> dict[int, ResponseSpec]:
    """List the responses of a GET of the past: the view and every possible problem, without 304."""
    responses = balance_responses(view, described, paged=True)
    del responses[304]
    return responses


def service_responses(view: type, described: str) -> Mapping[int, ResponseSpec]:
    """List the responses of a path about the service itself."""
    return {200: ResponseSpec(view, generate_examples=False, description=described)} | problem_responses(
        {400, 414, 431, 500}, Problem
    )


def caller_responses(view: type, described: str) -> Mapping[int, ResponseSpec]:
    """List the responses of a path about the caller itself, which asks nothing of Redis or the upstream."""
    return {**service_responses(view, described), **problem_responses({401, 429, 503, 504}, Problem)}


def problem_responses(statuses: Iterable[int], error: type = Problem) -> dict[int, ResponseSpec]:
    """Describe the problems of these statuses."""
    media_type = MEDIA_TYPE if error is Problem else "application/json"
    return {
        status: ResponseSpec(error, generate_examples=False, media_type=media_type, description=_titles(status))
        for status in sorted(statuses)
    }


def _titles(status: int) -> str:
    return "; ".join(dict.fromkeys(kind.title for kind in PROBLEMS.values() if kind.status == status)) + "."


def openapi_config(version: str, pages: OpenAPIRenderPlugin) -> OpenAPIConfig:
    """Describe the service. `pages` is what Litestar itself serves of the document."""
    return OpenAPIConfig(
        title="Tallygate",
        version=version,
        contact=Contact(name="The operator of this gateway"),
        license=License(name="Proprietary", identifier="LicenseRef-Proprietary"),
        use_handler_docstrings=True,
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
        render_plugins=[pages],
    )

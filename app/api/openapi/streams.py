"""OpenAPI document of streams: their parameters, and the media types of their events."""

from dataclasses import dataclass
from typing import Annotated, Final

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.params import QueryParameter

from app.api.openapi.document import balance_responses
from app.api.requests.formats import STREAM_TYPES
from app.api.requests.parameters import WITHIN_PATTERN
from app.api.views.accounts import AccountView

_MERCHANTS: Final = "1 to 1,000 merchant ids, separated by commas, or `all` that you may read."
_WITHIN: Final = (
    "The age in seconds that balances reach at most: 5 to 600, 35 if left out. `hello` says what is expected."
)
_AFTER: Final = "The id of the last event that you have. A `Last-Event-ID` header counts more."
_FORMAT: Final = "Counts more than Accept: server-sent events, JSON lines, or lines for a terminal."
_SENT: Final = "Events `hello`, `balances`, `synced`, `heartbeat` and `end`."


def _query(name: str, description: str, **schema: object) -> QueryParameter:
    return QueryParameter(name=name, description=description, schema_extra={**schema})


MerchantsParameter = Annotated[
    str,
    _query("merchantId", _MERCHANTS, pattern="^all$|^[1-9][0-9]{0,18}(,[1-9][0-9]{0,18})*$", examples=["12345", "all"]),
]
PortfolioParameter = Annotated[
    str | None, _query("portfolio", "`true`: the upstream's aggregate, too, as merchant 0.", enum=["true", "false"])
]
WithinParameter = Annotated[str | None, _query("within", _WITHIN, pattern=WITHIN_PATTERN, examples=["10"])]
AfterEventParameter = Annotated[str | None, _query("after", _AFTER, minLength=1)]
StreamFormatParameter = Annotated[str | None, _query("format", _FORMAT, enum=["events", "jsonl", "text"])]


def stream_responses(described: str) -> dict[int, ResponseSpec]:
    """List the responses by status: the stream, and every possible problem."""
    responses = balance_responses(AccountView, described, not_found=False)
    del responses[304]
    return responses


@dataclass
class AsStream(Operation):
    """An operation whose response is a stream of events, in one of several media types."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse):
            text = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, description=_SENT))
            answer.content = {each.partition(";")[0]: text for each in STREAM_TYPES.values()}

"""Options: what a caller may ask for besides whose balances, and how that is written in a request."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

Merchants = Sequence[int] | Literal["all"]


class CallOptions(TypedDict, total=False):
    """`deadline_seconds` takes the place of the client's."""

    deadline_seconds: float


class DirectiveOptions(CallOptions, total=False):
    """How old an answer may be, in seconds (RFC 9111, 5.2.1).

    `max_stale=True` accepts any staleness. `no_cache` asks the upstream. `only_if_cached` does not, and raises the
    problem `not-cached`.
    """

    max_age: int
    max_stale: int | Literal[True]
    min_fresh: int
    no_cache: bool
    only_if_cached: bool


class ReadOptions(DirectiveOptions, total=False):
    """How long a read may wait for other content than this client got last: 1 to 25 s, on top of the deadline."""

    wait_seconds: int


class RowOptions(TypedDict, total=False):
    """Which rows of an account: these `assets`, and with `nonzero` only those that are held."""

    assets: Sequence[str]
    nonzero: bool


class AccountOptions(ReadOptions, RowOptions, total=False):
    """A read of accounts."""


class BatchOptions(AccountOptions, total=False):
    """With `require_complete`, a part that fails raises the problem `incomplete`."""

    require_complete: bool


class QueryOptions(DirectiveOptions, RowOptions, total=False):
    """As `BatchOptions`, without waiting."""

    require_complete: bool


class PastOptions(CallOptions, RowOptions, total=False):
    """Which rows of a past account."""


class PageOptions(ReadOptions, total=False):
    """How many on a page, 1 to 1,000, and `next` of the page before."""

    limit: int
    after: str


class BreakdownOptions(PageOptions, total=False):
    """`sort` is by an asset, or by `id`; a `-` turns it round. It goes with the first page only."""

    sort: str


class PastPageOptions(CallOptions, total=False):
    """A page of the past."""

    limit: int
    after: str


class MerchantsOptions(PastPageOptions, total=False):
    """`search` is part of an id or a name."""

    search: str


class ChangesOptions(PastPageOptions, total=False):
    """Changes that looks found from `from_` on and before `until` (RFC 3339), of these `assets`."""

    from_: str
    until: str
    assets: Sequence[str]


_AS_THEY_ARE: Final = ("at", "from_", "until", "search", "sort", "limit", "after", "within")
_DIRECTIVES: Final = {
    "max_age": "max-age",
    "max_stale": "max-stale",
    "min_fresh": "min-fresh",
    "no_cache": "no-cache",
    "only_if_cached": "only-if-cached",
}


def write_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what options give a `Call`."""
    headers = _write_directives(options)
    wait_seconds = options.get("wait_seconds")
    if wait_seconds is not None:
        headers["Prefer"] = f"wait={wait_seconds}"
    return {
        "params": write_params(options),
        "headers": headers,
        "deadline_seconds": options.get("deadline_seconds"),
        "wait_seconds": wait_seconds or 0,
    }


def write_params(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a URL. One that is None is left out."""
    params = {name.rstrip("_"): str(options[name]) for name in _AS_THEY_ARE if options.get(name) is not None}
    if options.get("assets") is not None:
        params["assets"] = ",".join(one.replace("%", "%25").replace(",", "%2C") for one in options["assets"])
    params |= {name: "true" for name in ("nonzero", "portfolio") if options.get(name)}
    if options.get("require_complete"):
        params["require"] = "complete"
    return params


def write_merchants(wanted: Merchants) -> str:
    """Write ids of merchants, or `all`."""
    return wanted if isinstance(wanted, str) else ",".join(map(str, wanted))


def _write_directives(options: Mapping[str, Any]) -> dict[str, str]:
    wanted = []
    for option, name in _DIRECTIVES.items():
        value = options.get(option)
        if value is True:
            wanted.append(name)
        elif value is not None and value is not False:
            wanted.append(f"{name}={value}")
    return {"Cache-Control": ", ".join(wanted)} if wanted else {}

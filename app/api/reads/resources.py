"""Resources: whose balances a URL asks for, and which view of them. Both are pure functions of the URL, and cached."""

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Final, TypeVar

from msgspec import Struct

from app.api.rendering.representations import Name, Representation
from app.api.rendering.responses import render_representation
from app.api.requests.formats import Format
from app.api.requests.moments import read_moment
from app.api.requests.parameters import read_account_id, read_format, read_merchant_id, read_query
from app.api.requests.paths import read_asset_id
from app.api.requests.selection import Selection
from app.api.views.accounts import AccountView, AssetView, RowFilter, UpstreamEnvelope, View
from app.balances.snapshots import AGGREGATE, AccountId, Snapshot
from app.errors import InvalidRequest, UnknownPath

ACCOUNT: Final = "/v1/merchants/{merchantId}/balances"
ASSET: Final = "/v1/merchants/{merchantId}/balances/{assetId}"
PORTFOLIO: Final = "/v1/portfolio"
UPSTREAM_SHAPE: Final = "/v2/assets/account/assets"

_PARAMETERS: Final = {
    ACCOUNT: ("assets", "nonzero", "format", "bom", "at"),
    ASSET: ("format", "bom"),
    PORTFOLIO: ("assets", "nonzero", "format", "bom", "at"),
    UPSTREAM_SHAPE: ("merchantId",),
}
_CACHED_URLS: Final = 4096
_CACHED_URL_LENGTH: Final = 512

T = TypeVar("T")


class Resource(Struct, frozen=True, gc=False):
    """Which view of an account a URL asks for, where the template of its path is `route`.

    URLs that ask for the same view have one name. `keeps` selects rows, None for all.
    """

    route: str
    name: Name
    view: Callable[[Snapshot], View]
    keeps: RowFilter | None

    def render(self, snapshot: Snapshot) -> Representation:
        """Render the view of a snapshot as JSON. Raises `UnknownAsset` if the snapshot lacks the asset."""
        return render_representation(snapshot, self.view(snapshot))


class Target(Struct, frozen=True, gc=False):
    """Whose balances a URL asks for, in which format, and `at` which past moment (Unix ms), None for now.

    It is settled before the caller's right to read them. `resource` is which view, or why there is none: that is for a
    caller with the right.
    """

    account_id: AccountId
    named_format: Format | None
    at: int | None
    resource: Resource | str


def cached_by_url(find: Callable[[str, bytes], T]) -> Callable[[str, bytes], T]:
    """Cache the results of a function of path and query. URLs above 512 characters and exceptions are not cached."""
    find_cached = lru_cache(_CACHED_URLS)(find)

    @wraps(find)
    def find_by_url(path: str, query: bytes) -> T:
        return (find_cached if len(path) + len(query) <= _CACHED_URL_LENGTH else find)(path, query)

    return find_by_url


def find_route(path: str) -> str | None:
    """Find the template of a path (see `route_path`) that shows one account; None for any other path."""
    match path.split("/"):
        case ["", "v1", "merchants", _, "balances"]:
            return ACCOUNT
        case ["", "v1", "merchants", _, "balances", asset] if asset:
            return ASSET
        case ["", "v1", "portfolio"]:
            return PORTFOLIO
        case ["", "v2", "assets", "account", "assets"]:
            return UPSTREAM_SHAPE
        case _:
            return None


@cached_by_url
def find_target(path: str, query: bytes) -> Target:
    """Check parameter names, then read format and account. Raises `InvalidRequest`, or `UnknownPath` for other paths."""
    route = find_route(path)
    if route is None:
        raise UnknownPath("Nothing is served at this path.")
    given = read_query(query, _PARAMETERS[route])
    if route == UPSTREAM_SHAPE:
        if "merchantId" not in given:
            raise InvalidRequest("The parameter 'merchantId' is missing.")
        return Target(read_account_id(given["merchantId"]), Format.JSON, None, _read_resource(route, path, given))
    named_format = read_format(given.get("format"), given.get("bom"))
    account_id = AGGREGATE if route == PORTFOLIO else read_merchant_id(path.split("/")[3])
    at = read_moment("at", given.get("at"))
    try:
        return Target(account_id, named_format, at, _read_resource(route, path, given))
    except InvalidRequest as error:
        return Target(account_id, named_format, at, error.detail)


def _read_resource(route: str, path: str, given: Mapping[str, str]) -> Resource:
    """Read which rows are wanted, and in which shape, of a path and its parameters. Raises `InvalidRequest`."""
    if route == ASSET:
        asset_id = read_asset_id(path.rpartition("/")[2])
        return Resource(
            route, (path, ""), lambda of: AssetView.of(of, of.row(asset_id)), lambda row: row.asset_id == asset_id
        )
    if route == UPSTREAM_SHAPE:
        return Resource(route, (path, f"merchantId={given['merchantId']}"), UpstreamEnvelope.of, None)
    selection = Selection.read(given.get("assets"), given.get("nonzero"))
    keeps = None if selection.is_all else selection.keeps
    return Resource(route, (path, selection.query), lambda of: AccountView.of(of, keeps), keeps)

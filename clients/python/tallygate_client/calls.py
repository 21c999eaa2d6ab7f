"""Calls: what is sent for each operation, and how its answer is read. Pure: nothing here touches the network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct, field

from tallygate_client import models
from tallygate_client.answers import Answer, judge_account, judge_listing, judge_merchants, make_answer
from tallygate_client.problems import UnexpectedAnswerError

T = TypeVar("T")
L = TypeVar("L", bound=models.Listing)
A = TypeVar("A", bound=models.Account | models.AssetBalance)

Merchants = Sequence[int] | Literal["all"]


class Call(Struct, Generic[T], frozen=True, kw_only=True):
    """A request, and how its answer is read. One that does not `repeat` is sent once, except after a 429."""

    path: str
    read: Callable[[bytes, httpx.Headers], T]
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeats: bool = True
    accepts: frozenset[int] = frozenset()


def decode(body: bytes, kind: type[T]) -> T:
    """Decode a body. Raises `UnexpectedAnswerError`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnexpectedAnswerError(f"The answer is not as documented: {error}.") from error


def merchants_body(merchant_ids: Iterable[int]) -> dict[str, Any]:
    """Return what a POST of merchant ids has besides its path."""
    body = b'{"merchantIds":[%s]}' % ",".join(map(str, merchant_ids)).encode()
    return {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": body}


def plain(path: str, kind: type[T], **more: Any) -> Call[T]:
    """Call for a value without an age."""
    return Call(path=path, read=lambda body, _: decode(body, kind), **more)


def account(path: str, kind: type[A], **more: Any) -> Call[Answer[A]]:
    """Call for one account, or one asset of it."""
    return Call(path=path, read=lambda body, headers: make_answer(decode(body, kind), judge_account, headers), **more)


def listing(path: str, kind: type[L], **more: Any) -> Call[Answer[L]]:
    """Call for a view of many merchants."""
    return Call(path=path, read=lambda body, headers: make_answer(decode(body, kind), judge_listing, headers), **more)


def merchants(**more: Any) -> Call[Answer[models.Merchants]]:
    """Call for a page of merchants."""

    def read(body: bytes, headers: httpx.Headers) -> Answer[models.Merchants]:
        return make_answer(decode(body, models.Merchants), judge_merchants, headers)

    return Call(path="/v1/merchants", read=read, **more)


def upstream_account(merchant_id: int, headers: Mapping[str, str]) -> Call[Answer[models.UpstreamAccount]]:
    """Call for a merchant in the upstream's own shape."""

    def read(body: bytes, received: httpx.Headers) -> Answer[models.UpstreamAccount]:
        envelope = decode(body, models.Envelope[models.UpstreamAccount])
        return make_answer(envelope.data, judge_account, received)

    params = {"merchantId": str(merchant_id)}
    return Call(path="/v2/assets/account/assets", read=read, params=params, headers=headers)


def directives(max_age: int | None, max_stale: int | None) -> dict[str, str]:
    """Say how old an answer may be, in seconds (RFC 9111, 5.2.1)."""
    wanted = [
        f"{name}={value}" for name, value in (("max-age", max_age), ("max-stale", max_stale)) if value is not None
    ]
    return {"Cache-Control": ", ".join(wanted)} if wanted else {}


def query(**given: str | int | None) -> dict[str, str]:
    """Return the parameters that are given; a last `_` is left out of their names."""
    return {name.rstrip("_"): str(value) for name, value in given.items() if value is not None}


def list_assets(assets: Sequence[str] | None) -> str | None:
    """Write ids of assets as the gateway reads them: `,` as `%2C`, and `%` as `%25`."""
    return None if assets is None else ",".join(one.replace("%", "%25").replace(",", "%2C") for one in assets)


def list_merchants(wanted: Merchants) -> str:
    """Write ids of merchants, or `all`."""
    return wanted if isinstance(wanted, str) else ",".join(map(str, wanted))


def segment(name: str) -> str:
    """Write a name as a segment of a path. Raises `ValueError` for those that every client would shorten."""
    if name in {".", ".."}:
        raise ValueError(f"No path leads to {name!r}: read it with get_merchant_balances.")
    return quote(name, safe="")


def merchant_path(merchant_id: int) -> str:
    """Return the path of a merchant."""
    return f"/v1/merchants/{merchant_id:d}"


RECONCILIATION: Final = "/v1/portfolio/reconciliation"

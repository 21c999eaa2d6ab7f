"""Calls: a request, and how its answer is read. Pure: nothing here touches the network."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct, field

from tallygate_client import models
from tallygate_client.answers import Answer, judge_account, judge_listing, judge_merchants, make_answer
from tallygate_client.options import write_options
from tallygate_client.problems import UnexpectedAnswerError

_OK: Final = 200

T = TypeVar("T")
L = TypeVar("L", bound=models.Listing)
A = TypeVar("A", bound=models.Account | models.AssetBalance)


class Call(Struct, Generic[T], frozen=True, kw_only=True):
    """A request, and how its answer is read. One that does not `repeat` is sent once, except after a 429.

    It takes `deadline_seconds`, by default those of the client, and `wait_seconds` on top: so long the gateway waits for
    news. Statuses that it `accepts` are no errors.
    """

    path: str
    read: Callable[[bytes, httpx.Headers], T]
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeats: bool = True
    accepts: frozenset[int] = frozenset()
    deadline_seconds: float | None = None
    wait_seconds: float = 0


def decode(body: bytes, kind: type[T]) -> T:
    """Decode the body of a success. Raises `UnexpectedAnswerError`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnexpectedAnswerError(f"The answer is not as documented: {error}.", _OK) from error


def plain(path: str, kind: type[T], options: Mapping[str, Any], **more: Any) -> Call[T]:
    """Call for a value without an age."""
    return Call(path=path, read=lambda body, _: decode(body, kind), **{**write_options(options), **more})


def account(path: str, kind: type[A], options: Mapping[str, Any]) -> Call[Answer[A]]:
    """Call for one account, or one asset of it."""

    def read(body: bytes, headers: httpx.Headers) -> Answer[A]:
        return make_answer(decode(body, kind), judge_account, headers)

    return Call(path=path, read=read, **write_options(options))


def listing(path: str, kind: type[L], options: Mapping[str, Any], **more: Any) -> Call[Answer[L]]:
    """Call for a view of many merchants. `params` come on top of those of the options."""
    written = write_options(options)
    written["params"] |= more.pop("params", {})
    written["headers"] |= more.pop("headers", {})

    def read(body: bytes, headers: httpx.Headers) -> Answer[L]:
        return make_answer(decode(body, kind), judge_listing, headers)

    return Call(path=path, read=read, **written, **more)


def merchants(options: Mapping[str, Any]) -> Call[Answer[models.Merchants]]:
    """Call for a page of merchants."""

    def read(body: bytes, headers: httpx.Headers) -> Answer[models.Merchants]:
        return make_answer(decode(body, models.Merchants), judge_merchants, headers)

    return Call(path="/v1/merchants", read=read, **write_options(options))


def upstream_account(merchant_id: int, options: Mapping[str, Any]) -> Call[Answer[models.UpstreamAccount]]:
    """Call for a merchant in the upstream's own shape."""

    def read(body: bytes, headers: httpx.Headers) -> Answer[models.UpstreamAccount]:
        envelope = decode(body, models.Envelope[models.UpstreamAccount])
        return make_answer(envelope.data, judge_account, headers)

    written = write_options(options) | {"params": {"merchantId": str(merchant_id)}}
    return Call(path="/v2/assets/account/assets", read=read, **written)


def merchants_body(merchant_ids: list[int]) -> dict[str, Any]:
    """Return what a POST of merchant ids has besides its path."""
    body = msgspec.json.encode({"merchantIds": merchant_ids})
    return {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": body}


def segment(name: str) -> str:
    """Write a name as a segment of a path. Raises `ValueError` for those that every client would shorten."""
    if name in {".", ".."}:
        raise ValueError(f"No path leads to {name!r}: read it with get_merchant_balances.")
    return quote(name, safe="")


def merchant_path(merchant_id: int) -> str:
    """Return the path of a merchant."""
    return f"/v1/merchants/{merchant_id:d}"

"""Answers replaced or altered by a fault. They are still whole HTTP. No I/O."""

import json
from collections.abc import Callable
from decimal import Decimal
from http.client import responses
from typing import Any, assert_never

import msgspec

from sandbox import faults
from sandbox.accounts import AMOUNTS
from sandbox.amounts import EXACT, exact
from sandbox.messages import UNKNOWN_TOKEN, UNLISTED_ADDRESS, Answer, as_json, envelope

_CUT_JSON = b'{"code":200,"msg":"SUCCESS","data":{"canDeposit":tr'
_PROXY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\r\n"

Document = dict[str, Any]


def replaced(fault: faults.Replacement) -> Answer:  # noqa: PLR0911  one for each fault
    """Return what is answered instead."""
    match fault:
        case faults.HttpStatus():
            return _with_status(fault)
        case faults.RateLimited():
            return _rate_limited(fault)
        case faults.Malformed():
            return Answer(status=200, body=_CUT_JSON)
        case faults.Html():
            return Answer(status=502, body=_PROXY_PAGE, content_type="text/html")
        case faults.Redirect():
            return Answer(status=fault.status, body=b"", headers=(("Location", fault.location),))
        case faults.TokenExpired():
            return UNKNOWN_TOKEN
        case faults.AddressNotListed():
            return UNLISTED_ADDRESS
        case faults.Code():
            return envelope(fault.code, fault.msg, status=fault.http_status)
        case faults.Empty():
            return Answer(status=200, body=b"")
        case _:
            assert_never(fault)


def altered(fault: faults.Alteration, answer: Answer) -> Answer:
    """Alter the document of a balances answer; any other answer is returned as it is."""
    document = json.loads(answer.body)
    data = document.get("data")
    if not isinstance(data, dict) or "balances" not in data:
        return answer
    _alteration(fault)(document, data, data["balances"])
    return msgspec.structs.replace(answer, body=msgspec.json.encode(document))


def _with_status(fault: faults.HttpStatus) -> Answer:
    match fault.body:
        case None:
            return envelope(fault.status, responses.get(fault.status, "no name"), status=fault.status)
        case str(text):
            return Answer(status=fault.status, body=text.encode(), content_type="text/plain")
        case document:
            return as_json(fault.status, document)


def _rate_limited(fault: faults.RateLimited) -> Answer:
    when = fault.retry_after_date if fault.retry_after_seconds is None else str(fault.retry_after_seconds)
    headers = () if when is None else (("Retry-After", when),)
    return msgspec.structs.replace(envelope(429, "TOO_MANY_REQUESTS", status=429), headers=headers)


def _alteration(fault: faults.Alteration) -> Callable[[Document, Document, list[Any]], None]:
    match fault:
        case faults.WrongTypes():
            return _mistype
        case faults.Amount():
            return lambda _document, _data, rows: rows[0].update({fault.field: fault.value}) if rows else None
        case faults.DuplicateRow():
            return lambda _document, _data, rows: rows.extend(rows[:1])
        case faults.DuplicateName():
            return _name_twice
        case faults.TotalMismatch():
            return lambda _document, _data, rows: rows[0].update(total=_one_more(rows[0])) if rows else None
        case faults.UnknownField():
            return _add_unknown
        case _:
            assert_never(fault)


def _mistype(_document: Document, data: Document, rows: list[Any]) -> None:
    data["canDeposit"] = "yes"
    for row in rows:
        row.update({name: float(row[name]) for name in AMOUNTS if exact(row.get(name)) is not None})


def _name_twice(_document: Document, _data: Document, rows: list[Any]) -> None:
    if rows:
        again = msgspec.json.encode({"total": _one_more(rows[0])})
        rows[0] = msgspec.Raw(msgspec.json.encode(rows[0])[:-1] + b"," + again[1:])


def _add_unknown(document: Document, data: Document, rows: list[Any]) -> None:
    for where in (document, data, *rows):
        where["unheardOf"] = {"since": "today"}


def _one_more(row: Document) -> str:
    return str(EXACT.add(exact(row.get("total")) or Decimal(0), Decimal(1)))

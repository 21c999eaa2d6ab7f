"""`tallygate key`: a new key with its lines for the clients file, and a list of the clients in that file."""

from typing import Literal

from msgspec import json

from app.access.callers import ALL, Caller, hash_key, make_key
from app.access.clients_file import Clients
from app.access.validity import FOREVER
from app.api.requests.moments import read_moment
from app.api.requests.parameters import read_merchant_id
from app.api.views.accounts import format_time
from app.clock import unix_ms
from app.errors import InvalidRequest, StartError


def make_client(name: str, merchants: str, *, portfolio: bool, expires: str | None = None) -> str:
    """Make a key and return the text to print. Without `expires`, the key has no end.

    Raises `StartError` if `merchants` is neither `all` nor a list of ids, or `expires` no RFC 3339 time that is to come.
    """
    key = make_key()
    lines = format_client(name, hash_key(key), read_merchants(merchants), portfolio=portfolio)
    lines += "" if expires is None else f"expires = {_read_expires(expires)}\n"
    return (
        f"The key, shown this once. Hand it to {name} and keep no copy:\n\n  {key}\n\n"
        f"Add these lines to the clients file (TALLYGATE_CLIENTS_FILE):\n\n{lines}"
    )


def format_client(name: str, key_sha256: str, merchants: list[int] | Literal["all"], *, portfolio: bool) -> str:
    """Write a `[[client]]` of the clients file."""
    fields = {"name": name, "key_sha256": key_sha256, "merchants": merchants, "portfolio": portfolio}
    # These JSON values are valid TOML too.
    return "[[client]]\n" + "".join(f"{field} = {json.encode(value).decode()}\n" for field, value in fields.items())


def list_clients(clients: Clients) -> str:
    """Format a table of clients by name, with their merchants. It has no key and no hash."""
    rows = [
        ("name", "keys", "merchants", "portfolio", "expires"),
        *map(_describe, sorted(clients.callers, key=lambda c: c.name)),
    ]
    rows += [(f"{issuer.name}/…", "tokens", "by its rules", "", "") for issuer in clients.issuers]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _describe(caller: Caller) -> tuple[str, str, str, str, str]:
    merchants = caller.merchants if isinstance(caller.merchants, str) else ",".join(sorted(caller.merchants, key=int))
    name = caller.name if caller.name.isprintable() else repr(caller.name)
    expires = "" if caller.validity.until == FOREVER else format_time(caller.validity.until)
    return name, str(len(caller.key_hashes)), merchants or "none", "yes" if caller.portfolio else "no", expires


def _read_expires(text: str) -> str:
    """Check an end, which a TOML date-time is, too."""
    try:
        moment = read_moment("--expires", text)
    except InvalidRequest as error:
        raise StartError(error.detail) from None
    if moment is None or moment <= unix_ms():
        raise StartError(f"--expires has passed: {text}.")
    return text


def read_merchants(text: str) -> list[int] | Literal["all"]:
    """Read which merchants are meant. Raises `StartError`."""
    if text == ALL:
        return ALL
    try:
        return [int(read_merchant_id(merchant.strip())) for merchant in text.split(",")]
    except InvalidRequest:
        raise StartError(f"--merchants wants `all` or merchant ids separated by commas, not {text!r}.") from None

"""`tallygate key new`: a key for a client, shown once, and the lines by which the clients file knows it."""

from typing import Literal

from msgspec import json

from app.access.callers import ALL, hash_key, make_key
from app.api.parameters import read_merchant_id
from app.errors import InvalidRequest, StartError


def make_client(name: str, merchants: str, *, portfolio: bool) -> str:
    """Give the text to print. Raises `StartError` if the merchants are not `all` or a list of ids."""
    key = make_key()
    lines = format_client(name, hash_key(key), _read_merchants(merchants), portfolio=portfolio)
    return (
        f"The key, shown this once. Hand it to {name} and keep no copy:\n\n  {key}\n\n"
        f"Add these lines to the clients file (TALLYGATE_CLIENTS_FILE):\n\n{lines}"
    )


def format_client(name: str, key_sha256: str, merchants: list[int] | Literal["all"], *, portfolio: bool) -> str:
    """Write a `[[client]]` of the clients file."""
    fields = {"name": name, "key_sha256": key_sha256, "merchants": merchants, "portfolio": portfolio}
    # What JSON writes for these is TOML as well.
    return "[[client]]\n" + "".join(f"{field} = {json.encode(value).decode()}\n" for field, value in fields.items())


def _read_merchants(text: str) -> list[int] | Literal["all"]:
    if text == ALL:
        return ALL
    try:
        return [int(read_merchant_id(merchant.strip())) for merchant in text.split(",")]
    except InvalidRequest:
        raise StartError(f"--merchants wants `all` or merchant ids separated by commas, not {text!r}.") from None

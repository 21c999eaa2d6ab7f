"""The upstream's URL: an origin whose host can be looked up and connected to, or it is refused at the start."""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from app.errors import StartError

_FORM: Final = re.compile(
    r"https?://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?/?", re.IGNORECASE
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAX_NAME: Final = 253
_ENCODED: Final = "xn--"
_WORD_CATEGORIES: Final = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})
"""The categories of characters that a name of IDNA 2008 may have (RFC 5892)."""


def check_upstream_url(url: str) -> None:
    """Raise `StartError` unless this is an origin that can be called."""
    form = _FORM.fullmatch(url)
    if form is None or not _is_port(form["port"]):
        raise StartError("TALLYGATE_UPSTREAM_URL wants an origin like https://api.example.com, without path or user.")
    if not _is_host(form["host"]):
        raise StartError("TALLYGATE_UPSTREAM_URL wants an origin with a host that can exist, a name or an address.")


def _is_port(port: str | None) -> bool:
    return port is None or 0 < int(port.removeprefix(":")) < 1 << 16


def _is_host(host: str) -> bool:
    if host.startswith("["):
        return _is_address(IPv6Address, host.strip("[]"))
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdecimal():
        return _is_address(IPv4Address, host)
    return len(host) <= _MAX_NAME and all(map(_is_label, labels))


def _is_address(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _is_label(label: str) -> bool:
    if _LABEL.fullmatch(label) is None:
        return False
    if not label.lower().startswith(_ENCODED):
        return label[2:4] != "--"  # reserved: IDNA refuses such names (RFC 5891, 4.2.3.1)
    encoded = label.lower().removeprefix(_ENCODED)
    try:
        name = encoded.encode().decode("punycode")
    except UnicodeError:
        return False
    is_word = all(char == "-" or unicodedata.category(char) in _WORD_CATEGORIES for char in name)
    return is_word and not name.isascii() and name.encode("punycode").decode() == encoded

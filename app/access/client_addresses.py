"""Address of a caller, also behind load balancers that are trusted to name it."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Headers = Iterable[tuple[bytes, bytes]]
Address = IPv4Address | IPv6Address

_FORWARDED_FOR: Final = b"x-forwarded-for"
_FORWARDED: Final = b"forwarded"
_LAST_ELEMENT: Final = re.compile(r'(?:^|,)((?:[^",]|"[^"\\]*")*)\Z')
_PAIR: Final = re.compile(r'[ \t]*([^=;," \t]+)=(?:"([^"\\]*)"|([^";,\s]*))[ \t]*(?:;|\Z)')
_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)")


class ClientAddresses:
    """Find callers' addresses. Only a peer in a network of `trusted` is believed about the address before it."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted: Final = tuple(map(ip_network, trusted))

    def find(self, peer: str | None, headers: Headers) -> str | None:
        """Return the right-most address that is not trusted, from `X-Forwarded-For` or `Forwarded` (RFC 7239).

        Whatever is further left was written by a stranger. An element that names no address ends the search at the
        last proxy. So do both headers where they disagree: the proxy wrote one, and let the other pass.
        """
        if not self._trusted or peer is None or (nearest := _read_node(peer)) is None or not self._trusts(nearest):
            return peer
        given = list(headers)
        fields = [_join(given, name) for name in (_FORWARDED_FOR, _FORWARDED)]
        found = {
            self._walk(nearest, nodes)
            for text, nodes in zip(fields, (_x_nodes(fields[0]), _forwarded_nodes(fields[1])), strict=True)
            if text
        }
        return str(found.pop()) if len(found) == 1 else peer

    def _walk(self, nearest: Address, nodes: Iterator[str]) -> Address:
        for node in nodes:
            address = _read_node(node)
            if address is None:
                break
            nearest = address
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _join(headers: Headers, wanted: bytes) -> str:
    """Join the lines of a field as one list (RFC 9110, 5.3)."""
    return ",".join(value.decode("latin-1") for name, value in headers if name == wanted)


def _x_nodes(text: str) -> Iterator[str]:
    """Give the nodes from right to left."""
    return iter([one.strip(" \t") for one in reversed(text.split(","))])


def _forwarded_nodes(text: str) -> Iterator[str]:
    """Give the nodes from right to left; an element without one gives an empty node.

    From the right: a quotation mark that a stranger left open cannot swallow what a proxy appended.
    """
    while text and (element := _LAST_ELEMENT.search(text)) is not None:
        text = text[: element.start()]
        yield _read_for(element[1])


def _read_for(element: str) -> str:
    at, found = 0, list[str]()
    while pair := _PAIR.match(element, at):
        at = pair.end()
        if pair[1].lower() == "for":
            found.append(pair[2] or pair[3] or "")
    return found[0] if at == len(element) and len(found) == 1 else ""


def _read_node(text: str) -> Address | None:
    """Read an address, with or without a port. One that is IPv4 mapped into IPv6 counts as IPv4."""
    parts = _NODE.fullmatch(text)
    if parts is None:
        return None
    try:
        address = ip_address(next(part for part in parts.groups() if part))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

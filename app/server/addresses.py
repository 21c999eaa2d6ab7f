"""Addresses to listen at: a host's name is resolved once, so that all workers share one address."""

import errno
import socket
from typing import Any, NamedTuple

from app.errors import StartError


class Address(NamedTuple):
    """What a socket is made with and bound to."""

    family: socket.AddressFamily
    place: Any

    @property
    def host(self) -> str:
        """The numeric address."""
        return str(self.place[0])


def resolve(host: str, port: int) -> Address:
    """Return the address of a host, preferably one of IPv4. Raises `StartError`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise _refuse(host, port, error) from None
    addresses = [Address(family, place) for family, _, _, _, place in found]
    address = min(addresses, key=lambda one: one.family is not socket.AF_INET)
    if "%" in address.host:
        raise StartError(f"Cannot listen at TALLYGATE_HOST {host}: an address of one interface is not supported.")
    return address


def check_port(host: str, port: int, name: str = "TALLYGATE_PORT") -> None:
    """Raise `StartError` if the address cannot be bound: workers would share a port that another gateway holds.

    `name` is the setting or the option that chose the port.
    """
    address = resolve(host, port)
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address.place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"Cannot listen at {host}:{port}: it is in use. Choose another {name}.") from None
        raise _refuse(host, port, error, name) from None


def _refuse(host: str, port: int, error: Exception, name: str = "TALLYGATE_PORT") -> StartError:
    reason = (isinstance(error, OSError) and error.strerror) or "it is no name of a host"
    return StartError(f"Cannot listen at TALLYGATE_HOST {host}, {name} {port}: {reason}.")

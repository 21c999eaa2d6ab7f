"""A host may be a name; workers get an address."""

import socket
from ipaddress import ip_address

import pytest

from app.errors import StartError
from app.server.addresses import check_port, resolve


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_name_or_an_address_becomes_an_address(host: str) -> None:
    address = resolve(host, 8080)
    assert ip_address(address.host).version == (6 if ":" in host else 4)
    with socket.socket(address.family) as one:
        one.bind((*address.place[:1], 0, *address.place[2:]))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "a" * 64, " ", "192.0.2.1", "fe80::1%lo", "[::1]"])
def test_a_host_that_cannot_be_listened_at_is_refused_in_a_line(host: str) -> None:
    with pytest.raises(StartError, match="TALLYGATE_HOST") as caught:
        check_port(host, 8080)
    assert "\n" not in caught.value.detail


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(StartError, match="in use"):
        check_port("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize(("given", "named"), [((), "TALLYGATE_PORT"), (("--port",), "--port")])
def test_a_port_in_use_is_named_as_it_was_chosen(given: tuple[str, ...], named: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(StartError, match=f"another {named}\\."):
        check_port("127.0.0.1", other.getsockname()[1], *given)

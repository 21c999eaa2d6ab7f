"""Listening sockets: workers share an address, and connections inherit how long a reader may take nothing."""

import socket
from contextlib import closing

import pytest

from app.server.addresses import resolve
from app.server.listening import bind


@pytest.mark.parametrize("stall_ms", [1500])
def test_accepted_connections_inherit_the_bound_of_stalls(stall_ms: int) -> None:
    with closing(bind(resolve("127.0.0.1", 0), stall_ms)) as listening:
        assert not listening.getblocking()
        listening.listen()
        with closing(socket.create_connection(listening.getsockname())), closing(listening.accept()[0]) as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == stall_ms
            assert accepted.getsockopt(socket.IPPROTO_TCP, 25) == 16 * 1024


def test_workers_share_an_address_and_no_other_program_does() -> None:
    with closing(bind(resolve("127.0.0.1", 0))) as one:
        address = resolve("127.0.0.1", one.getsockname()[1])
        bind(address).close()
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        bind(resolve("127.0.0.1", other.getsockname()[1]))

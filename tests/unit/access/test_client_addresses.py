"""Address of a caller behind trusted proxies: what they wrote counts, and what a stranger wrote never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.client_addresses import ClientAddresses

PROXY, INNER, STRANGER, CALLER = "10.0.0.1", "10.0.0.2", "203.0.113.9", "198.51.100.7"
BEHIND = ClientAddresses(["10.0.0.0/24", "2001:db8:1::/64"])


def x_for(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"forwarded", value.encode("latin-1")) for value in values]


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert ClientAddresses([]).find(PROXY, x_for(CALLER)) == PROXY


@pytest.mark.parametrize("peer", [None, STRANGER, "2001:db8:2::1", "a socket"])
@pytest.mark.parametrize("headers", [x_for(CALLER), forwarded(f"for={CALLER}")])
def test_a_peer_that_is_not_trusted_is_not_believed(peer: str | None, headers: list[tuple[bytes, bytes]]) -> None:
    assert BEHIND.find(peer, headers) == peer


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], PROXY),
        (x_for(CALLER), CALLER),
        (x_for(f"{STRANGER}, {CALLER}"), CALLER),
        (x_for(STRANGER, CALLER), CALLER),
        (x_for(f"{CALLER}, {INNER}"), CALLER),
        (x_for(INNER), INNER),
        (x_for(f"{CALLER}:4711"), CALLER),
        (x_for("[2001:db8::7]:4711"), "2001:db8::7"),
        (x_for("2001:db8::7"), "2001:db8::7"),
        (x_for(f"::ffff:{CALLER}"), CALLER),
        (x_for(f"{CALLER}, 2001:db8:1::5"), CALLER),
        (x_for(f"{CALLER}, unknown"), PROXY),
        (x_for(f"{CALLER}, unknown, {INNER}"), INNER),
        (x_for(""), PROXY),
        (x_for(f"{CALLER}, "), PROXY),
        (x_for("1.2.3.4.5"), PROXY),
        (forwarded(f"for={CALLER}"), CALLER),
        (forwarded(f"For={CALLER};proto=https;by={PROXY}"), CALLER),
        (forwarded(f'by="x, for={STRANGER}";for="{CALLER}:80"'), CALLER),
        (forwarded(f'host="a;for={STRANGER}";for={CALLER}'), CALLER),
        (forwarded('for="[2001:db8::7]:4711"'), "2001:db8::7"),
        (forwarded(f"for={STRANGER}, for={CALLER}"), CALLER),
        (forwarded(f"for={STRANGER}", f"for={CALLER}"), CALLER),
        (forwarded(f"for={CALLER}, for={INNER}"), CALLER),
        (forwarded(f"for={CALLER}, for=_hidden"), PROXY),
        (forwarded(f"for={CALLER}, for=unknown"), PROXY),
        (forwarded(f"for={CALLER}, proto=https"), PROXY),
        (forwarded(f"for={STRANGER};for={CALLER}"), PROXY),
        (forwarded(f"for={CALLER} x"), PROXY),
    ],
)
def test_the_right_most_address_that_is_not_trusted_counts(headers: list[tuple[bytes, bytes]], found: str) -> None:
    assert BEHIND.find(PROXY, headers) == found


def test_a_peer_that_is_ipv4_within_ipv6_is_trusted_as_ipv4() -> None:
    assert BEHIND.find(f"::ffff:{PROXY}", x_for(CALLER)) == CALLER


def test_two_fields_that_agree_count_and_two_that_differ_do_not() -> None:
    assert BEHIND.find(PROXY, x_for(CALLER) + forwarded(f"for={CALLER}")) == CALLER
    assert BEHIND.find(PROXY, x_for(CALLER) + forwarded(f"for={STRANGER}")) == PROXY


@given(st.text(st.characters(max_codepoint=255)), st.sampled_from([CALLER, "2001:db8::7"]))
def test_nothing_that_a_stranger_wrote_changes_what_a_proxy_appended(written: str, caller: str) -> None:
    node = f'"[{caller}]"' if ":" in caller else caller
    assert BEHIND.find(PROXY, x_for(f"{written}, {caller}")) == caller
    assert BEHIND.find(PROXY, forwarded(f"{written}, for={node}")) == caller
    assert BEHIND.find(PROXY, forwarded(written, f"for={node}")) == caller

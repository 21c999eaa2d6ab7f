"""The clients file, issuers of tokens included: what is taken, and what a wrong one says."""

from datetime import UTC, datetime

import pytest

from app.access.clients_file import parse_clients
from app.access.tokens.issuers import Source
from app.access.validity import FOREVER, Validity
from app.balances.snapshots import AccountId
from app.errors import StartError

ISSUER = '[[issuer]]\nname = "kc"\nissuer = "https://id.example.com"\naudience = "tallygate"\n'
RULE = "[[issuer.rule]]\n"
CLIENT = f'[[client]]\nname = "kc/web"\nkey_sha256 = "{"a" * 64}"\nmerchants = "all"\n'


def test_an_issuer_needs_no_client_beside_it() -> None:
    clients = parse_clients(ISSUER + RULE + 'group = "a"\nmerchants = [1]\n', "x")
    (issuer,) = clients.issuers
    assert not clients.callers
    assert (issuer.source, issuer.audience) == (Source("https://id.example.com"), frozenset({"tallygate"}))
    assert issuer.algorithms == ("RS256", "ES256")
    assert issuer.rules[0].merchants == frozenset({AccountId("1")})


def as_ms(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("lines", "validity"),
    [
        ("", Validity()),
        ("expires = 2027-06-01T00:00:00Z", Validity(until=as_ms(2027, 6, 1))),
        ('expires = "2027-06-01T02:00:00.5+02:00"', Validity(until=as_ms(2027, 6, 1) + 500)),
        ("not_before = 2026-12-01T00:00:00-01:00", Validity(as_ms(2026, 12, 1, 1), FOREVER)),
    ],
)
def test_keys_begin_and_end_when_the_file_says(lines: str, validity: Validity) -> None:
    (caller,) = parse_clients(CLIENT + lines, "x").callers
    assert caller.validity == validity


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CLIENT + "expires = 2027-06-01T00:00:00\n", "expires"),
        (CLIENT + "expires = 2027-06-01\n", "expires"),
        (CLIENT + 'expires = "June"\n', "expires"),
        (CLIENT + "expires = 1790000000\n", "expires"),
        (CLIENT + "not_before = 2027-06-01T00:00:00Z\nexpires = 2027-06-01T00:00:00Z\n", "earlier"),
        (ISSUER, "rule"),
        (ISSUER + 'algorithms = ["HS256"]\n' + RULE, "HS256"),
        (ISSUER + 'algorithms = ["none"]\n' + RULE, "none"),
        (ISSUER + 'jwks_url = "https://a"\njwks_file = "b"\n' + RULE, "not both"),
        (ISSUER.replace("https://id.example.com", "id") + RULE, "https://"),
        (ISSUER.replace("https:", "http:") + RULE, "https://"),
        (ISSUER + 'jwks_url = "http://id.example.com/keys"\n' + RULE, "jwks_url"),
        (ISSUER + 'jwks_url = "http://127.0.0.1/keys"\nbearer_file = "b"\n' + RULE, "bearer_file"),
        (ISSUER + "leeway_seconds = 301\n" + RULE, "leeway_seconds"),
        (ISSUER + RULE + 'merchants = [1]\nmerchants_claim = "m"\n', "not both"),
        (ISSUER + RULE + ISSUER + RULE, "same name"),
        (ISSUER + RULE + ISSUER.replace("kc", "other") + RULE, "same issuer"),
        (ISSUER + RULE + CLIENT, "kc/web"),
        (ISSUER + "keys = 1\n" + RULE, "keys"),
    ],
)
def test_a_wrong_issuer_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(StartError, match=said):
        parse_clients(text, "x")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_an_issuer_within_this_machine_may_do_without_tls(host: str) -> None:
    (issuer,) = parse_clients(ISSUER.replace("https://id.example.com", f"http://{host}:8080") + RULE, "x").issuers
    assert issuer.source.issuer == f"http://{host}:8080"

"""Keys of issuers of tokens, over the wire and from files; and their tokens at the service as its users run it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.access.tokens.issuers import Source
from app.access.tokens.jwks_source import fetch_keys
from app.egress.documents import MAX_DOCUMENT_BYTES
from app.errors import IssuerUnavailable
from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import as_variables, run_gateway, serving
from tests.support.processes import run
from tests.support.tokens import URL, jwks, sign
from tests.support.topologies import run_tls

OWN, FOREIGN = "/v1/merchants/12345/balances", "/v1/merchants/10001/balances"
RULE = '[[issuer.rule]]\nsubject = "somebody"\nmerchants = [12345]\n'


class Publisher:
    """An issuer's server: what it says by path, and what it was asked, headers included."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.status = "200 OK"
        self.says: dict[str, Callable[[], bytes]] = {
            "/.well-known/openid-configuration": lambda: self.discovery(f"{self.url}/keys"),
            "/keys": jwks,
        }

    def discovery(self, keys: str) -> bytes:
        return json.dumps({"issuer": self.url, "jwks_uri": keys}).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(request.lower())
        body = self.says[request.split()[1]]()
        head = (
            f"HTTP/1.1 {self.status}\r\nLocation: {self.url}/keys\r\nConnection: close\r\nContent-Length: {len(body)}"
        )
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with publishing() as running:
        yield running


@asynccontextmanager
async def publishing() -> AsyncIterator[Publisher]:
    publisher = Publisher()
    async with await asyncio.start_server(publisher.answer, "127.0.0.1", 0) as server:
        publisher.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield publisher


async def test_keys_come_by_discovery_by_url_or_from_a_file(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(jwks())
    sources = (
        Source(publisher.url),
        Source(URL, jwks_url=f"{publisher.url}/keys"),
        Source(URL, jwks_file=str(tmp_path / "keys")),
    )
    found = [await fetch_keys(source) for source in sources]
    assert len(set(found)) == 1
    assert found[0].serves(("ES256",))
    assert not any("authorization" in request or "x-bh-token" in request for request in publisher.asked)


async def test_a_cluster_is_asked_over_its_own_authority_with_our_bearer_token(
    publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "bearer").write_text("pass\n")
    port = int(publisher.url.rpartition(":")[2])
    async with run_tls(port) as ((secure,), authority):
        publisher.url = f"https://127.0.0.1:{secure}"
        source = Source(publisher.url, ca_file=str(authority), bearer_file=str(tmp_path / "bearer"))
        assert (await fetch_keys(source)).serves(("ES256",))
        assert ["authorization: bearer pass" in request for request in publisher.asked] == [True, True]
        with pytest.raises(IssuerUnavailable, match="reached"):
            await fetch_keys(Source(publisher.url, bearer_file=str(tmp_path / "bearer")))


async def test_the_bearer_token_goes_to_no_other_origin_that_discovery_names(
    publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "bearer").write_text("pass\n")
    async with publishing() as other:
        publisher.says["/.well-known/openid-configuration"] = lambda: publisher.discovery(f"{other.url}/keys")
        await fetch_keys(Source(publisher.url, bearer_file=str(tmp_path / "bearer")))
        assert "bearer pass" in publisher.asked[0]
        assert "bearer" not in other.asked[0]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/keys", b"{}", "Key Set"),
        ("/keys", b" " * (MAX_DOCUMENT_BYTES + 1), "larger"),
        ("/.well-known/openid-configuration", b"{}", "discovery"),
        ("/.well-known/openid-configuration", b'{"issuer":"x","jwks_uri":"x"}', "another"),
    ],
)
async def test_nonsense_gives_no_keys_but_a_reason(publisher: Publisher, path: str, body: bytes, said: str) -> None:
    publisher.says[path] = lambda: body
    with pytest.raises(IssuerUnavailable, match=said):
        await fetch_keys(Source(publisher.url))


async def test_discovery_leads_nowhere_that_others_could_listen(publisher: Publisher) -> None:
    publisher.says["/.well-known/openid-configuration"] = lambda: publisher.discovery("http://keys.example.com/")
    with pytest.raises(IssuerUnavailable, match="listen"):
        await fetch_keys(Source(publisher.url))


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "503 Service Unavailable"])
async def test_a_status_that_is_not_ok_is_no_answer_and_no_redirect_is_followed(
    publisher: Publisher, status: str
) -> None:
    publisher.status = status
    with pytest.raises(IssuerUnavailable, match=status[:3]):
        await fetch_keys(Source(publisher.url))
    assert len(publisher.asked) == 1


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for source in (Source(URL, jwks_file="/gone/keys"), Source(URL, "https://127.0.0.1:9/", ca_file="/gone/keys")):
        with pytest.raises(IssuerUnavailable, match="/gone/keys"):
            await fetch_keys(source)


async def test_a_bearer_token_that_cannot_be_sent_is_refused_without_being_shown(
    publisher: Publisher, tmp_path: Path
) -> None:
    for bearer in (b"pa\nss", b"pa\xe9ss", b"pa\x00ss"):
        (tmp_path / "bearer").write_bytes(bearer)
        with pytest.raises(IssuerUnavailable, match="bearer is not printable") as caught:
            await fetch_keys(Source(publisher.url, bearer_file=str(tmp_path / "bearer")))
        assert "ss" not in caught.value.detail.partition("bearer")[2]
    assert not publisher.asked


@pytest.mark.parametrize("host", ["a" * 300 + ".example", "xn--", "..a", "127.0.0.1:99999", "a b"])
async def test_a_name_that_can_be_none_is_an_issuer_that_cannot_be_reached(host: str) -> None:
    with pytest.raises(IssuerUnavailable):
        await fetch_keys(Source(URL, jwks_url=f"https://{host}/keys"))


async def test_tokens_are_taken_in_every_worker_while_keys_of_clients_are_too(
    publisher: Publisher, shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_bytes(jwks())
    clients = tmp_path / "clients.toml"
    clients.write_text(
        f'[[issuer]]\nname = "file"\nissuer = "{URL}"\naudience = "tallygate"\njwks_file = "{tmp_path}/keys"\n{RULE}'
        f'[[issuer]]\nname = "found"\nissuer = "{publisher.url}"\naudience = "tallygate"\n{RULE}'
    )
    publisher.says["/keys"] = lambda: jwks(("ES256",))
    settings: dict[str, Any] = {"redis_url": valkey.url, "clients_file": clients, "workers": 2}
    async with run_gateway(shared_upstream, tmp_path, **settings) as gateway:
        now = time.time()
        for issuer in (URL, publisher.url):
            token = f"Bearer {sign(iss=issuer, now=now)}"
            statuses = [(await gateway.get(path, Authorization=token)).status_code for path in (OWN, FOREIGN) * 3]
            assert statuses == [200, 403] * 3
        publisher.says["/keys"] = lambda: jwks(("EdDSA", "RS256"))
        new = f"Bearer {sign('RS256', iss=publisher.url, now=now)}"
        assert [(await gateway.get(OWN, Authorization=new)).status_code for _ in range(6)] == [200] * 6
        expired = f"Bearer {sign(now=now - 660)}"
        assert (await gateway.get(OWN, Authorization=expired)).status_code == 401
    assert not any("x-bh-token" in request or "authorization" in request for request in publisher.asked)


async def test_check_fetches_the_keys_of_issuers_and_key_list_names_who_may_ask(
    publisher: Publisher, shared_upstream: Sandbox, tmp_path: Path
) -> None:
    clients = tmp_path / "clients.toml"
    clients.write_text(
        f'[[client]]\nname = "web"\nkey_sha256 = ["{"a" * 64}", "{"b" * 64}"]\nmerchants = [12, 7]\nportfolio = true\n'
        f'[[issuer]]\nname = "kc"\nissuer = "{publisher.url}"\naudience = "tallygate"\n{RULE}'
    )
    environment = {**serving(shared_upstream.url), **as_variables({"clients_file": clients})}
    assert "kc: 10 keys" in (await run(environment, "check")).output
    publisher.status = "503 Service Unavailable"
    checked = await run(environment, "check")
    assert (checked.status, "kc: It answered with status 503" in checked.output) == (1, True)
    listed = await run(as_variables({"clients_file": clients}), "key", "list")
    assert [line.split() for line in listed.output.splitlines()] == [
        ["name", "keys", "merchants", "portfolio", "expires"],
        ["web", "2", "7,12", "yes"],
        ["kc/…", "tokens", "by", "its", "rules"],
    ]
    assert "a" * 64 not in listed.said
    missing = await run({}, "key", "list")
    assert (missing.status, "TALLYGATE_CLIENTS_FILE" in missing.errors) == (2, True)

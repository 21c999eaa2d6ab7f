"""A rolling restart: the service shares a real Valkey with a replica of an earlier version, of which only its words are left."""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import Response
from redis.asyncio import Redis

from app.redis.embedded import EmbeddedValkey
from app.secret import Secret
from sandbox import Sandbox
from tests.support.errors import assert_problem
from tests.support.polling import ask_until
from tests.support.reconciling import PATH as RECONCILIATION
from tests.support.reconciling import reconcile
from tests.support.recorded_peer import (
    PEER,
    Peer,
    PeerSeal,
    entry_form,
    entry_message,
    failure_message,
    released_message,
)
from tests.support.recorded_wire import JOB_DONE
from tests.support.service import Service, run_service

MINTING: dict[str, Any] = {
    "upstream_token": None,
    "upstream_api_key": Secret("sandbox-api-key"),
    "upstream_api_secret": Secret("sandbox-api-secret"),
}
TOKEN_PATH, DIRECTORY_PATH = "/v2/token/generate", "/v2/merchants"
DIRECTORY = b'{"as_of":%d,"merchants":[{"id":5,"name":"Five","status":2},{"id":12345}]}'
EMPTY = b'{"type":"balances","key":"5","asOf":%d,"canDeposit":true,"balances":[],"anomalies":[]}'
JOB = "0" * 32


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def service(upstream: Sandbox, valkey: EmbeddedValkey) -> AsyncIterator[Service]:
    """A service without a history: what it adds, replicas of before ignore."""
    async with run_service(upstream, valkey.url, history_seconds=0) as running:
        yield running


@pytest.fixture
async def peer(service: Service) -> Peer:
    """A peer of a service that hears what it says."""
    peer = Peer(service.redis, service.upstream.url)
    await ask_until(lambda: service.redis.pubsub_numsub(f"{peer.prefix}:bus"), lambda found: found[0][1] == 1)
    return peer


def balances(service: Service, merchant: int) -> asyncio.Task[Response]:
    return asyncio.create_task(service.get(f"/v1/merchants/{merchant}/balances"))


async def wait_for_peer(service: Service, peer: Peer, merchant: int) -> asyncio.Task[Response]:
    """Ask for balances that the peer is about to fetch, and return when the service has seen its lease."""
    await peer.lease(merchant)
    before = await peer.count_scripts()
    waiting = balances(service, merchant)
    await ask_until(peer.count_scripts, lambda count: count > before)
    return waiting


def total(response: Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["balances"][0]["total"])


async def test_what_the_peer_stored_is_served(service: Service, peer: Peer) -> None:
    await peer.redis.set(peer.key(12345), entry_form(12345, now_ms()), px=600_000)
    await peer.redis.set(peer.key(777), b'{"type":"absent","key":"777","asOf":%d}' % now_ms(), px=10_000)
    assert total(await balances(service, 12345)) == "41.5"
    assert_problem(await balances(service, 777), "unknown-merchant")
    assert service.upstream.counters.balance_calls == 0


async def test_what_the_peer_publishes_answers_those_who_wait_for_its_lease(service: Service, peer: Peer) -> None:
    waiting = await wait_for_peer(service, peer, 12345)
    await peer.publish_until_over(waiting, entry_message(entry_form(12345, now_ms())))
    assert total(await waiting) == "41.5"
    assert service.upstream.counters.balance_calls == 0


async def test_each_line_of_a_message_is_an_entry(service: Service, peer: Peer) -> None:
    waiting = [await wait_for_peer(service, peer, merchant) for merchant in (12345, 10001)]
    message = b"\n".join(entry_message(entry_form(merchant, now_ms())) for merchant in (12345, 10001))
    for task in waiting:
        await peer.publish_until_over(task, message)
    assert [total(await task) for task in waiting] == ["41.5", "41.5"]
    assert service.upstream.counters.balance_calls == 0


async def test_the_peers_failure_is_the_answer_to_those_who_wait_for_its_lease(service: Service, peer: Peer) -> None:
    waiting = await wait_for_peer(service, peer, 12345)
    await peer.publish_until_over(waiting, failure_message(12345, "MalformedAnswer", "It is no JSON."))
    answer = await waiting
    assert_problem(answer, "malformed-answer")
    assert answer.json()["detail"] == "It is no JSON."
    assert service.upstream.counters.balance_calls == 0


async def test_what_the_peer_releases_is_fetched_here(service: Service, peer: Peer) -> None:
    waiting = await wait_for_peer(service, peer, 12345)
    await peer.redis.delete(f"{peer.key(12345)}:lease")
    await peer.publish_until_over(waiting, released_message(12345))
    assert total(await waiting) == "0.5"
    assert service.upstream.counters.balance_calls == 1


async def test_what_is_fetched_here_is_leased_stored_and_published_in_the_recorded_forms(
    service: Service, peer: Peer
) -> None:
    service.upstream.world.set(5, [])
    name = peer.key(5)
    async with peer.listening() as next_message:
        with service.upstream.fault("hang"):
            waiting = balances(service, 5)
            await service.upstream.calls(1)
            lease = (await peer.redis.get(f"{name}:lease")).decode()
            assert 0 < await peer.redis.pttl(f"{name}:lease") <= 3000
        message = await next_message()
        stored = await peer.redis.get(name)
        assert stored == EMPTY % json.loads(stored)["asOf"]
        assert (message, len(lease)) == (entry_message(stored, lease), len(PEER))
        assert not await peer.redis.exists(f"{name}:lease")
        assert (await waiting).status_code == 200
        with service.upstream.fault("malformed"):
            detail = (await balances(service, 10001)).json()["detail"]
        assert await next_message() == failure_message(10001, "MalformedAnswer", detail, lease)


async def test_with_a_history_an_entry_only_has_fields_more(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    upstream.world.set(5, [])
    async with run_service(upstream, valkey.url) as service:
        await balances(service, 5)
        await service.settle()
        peer = Peer(service.redis, upstream.url)
        stored = json.loads(await peer.redis.get(peer.key(5)))
    before = json.loads(EMPTY % stored["asOf"])
    assert {name: stored[name] for name in before} == before
    assert set(stored) - set(before) == {"epoch", "sequence"}


async def test_the_keys_are_those_of_before(service: Service, peer: Peer) -> None:
    for path in (
        "/v1/merchants/404404/balances",
        "/v1/portfolio/merchants?limit=2",
        "/v1/portfolio/assets/BTC?limit=1",
    ):
        await service.get(path)
    await reconcile(service)
    merchants = service.upstream.world.merchant_ids
    expected = {
        **{f":{{{merchant}}}": "string" for merchant in (0, 404404, *merchants)},
        **dict.fromkeys((":{directory}", ":{reconciliation}:began", ":{reconciliation}:last"), "string"),
        ":{reconciliation}:job:<hex>": "string",
        ":{version:<hex>}": "hash",
        ":{budget}": "hash",
    }
    ours = {":{demand}": "string", ":{demand}:lease": "string", ":{demand}:share": "string"}  # since the sweep
    kept_briefly = {":{budget}:asking": "zset", **ours}
    assert await ask_until(peer.list_keys, lambda found: found | kept_briefly == expected | kept_briefly)


async def test_the_list_of_merchants_is_kept_in_the_recorded_form(service: Service, peer: Peer) -> None:
    await service.get("/v1/merchants")
    ours = zlib.decompress(await peer.redis.get(peer.key("directory")))
    found = json.loads(ours)
    names = b",".join(
        b'{"id":%d,"name":"%b","status":2}' % (one["id"], one["name"].encode()) for one in found["merchants"]
    )
    assert ours == b'{"as_of":%d,"merchants":[%b]}' % (found["as_of"], names)


async def test_a_list_of_merchants_of_the_peer_is_served(upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
        peer = Peer(redis, upstream.url)
        await redis.set(peer.key("directory"), zlib.compress(DIRECTORY % now_ms(), 1), px=3_600_000)
        async with run_service(upstream, valkey.url, flush=False) as service:
            listed = (await service.get("/v1/merchants")).json()["merchants"]
    assert listed == [{"merchantId": 5, "merchantName": "Five"}, {"merchantId": 12345}]
    assert upstream.counters.by_path[DIRECTORY_PATH] == 0


@pytest.mark.parametrize("first", ["peer", "service"])
async def test_one_minted_token_is_shared(upstream: Sandbox, valkey: EmbeddedValkey, first: str) -> None:
    seal = PeerSeal(upstream.url, "sandbox-api-key", "sandbox-api-secret")
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
        peer = Peer(redis, upstream.url)
        name = peer.key(f"token:{seal.name}")
        if first == "peer":
            await redis.set(name, seal.seal(upstream.tokens.mint().token, 3600.0), px=3_600_000)
        async with run_service(upstream, valkey.url, flush=False, **MINTING) as service:
            assert (await service.get("/v1/portfolio")).status_code == 200
        content = json.loads(seal.open(await peer.redis.get(name)))
    assert upstream.tokens.accepts(content["token"])
    assert (content["lifeSeconds"] > 3000, upstream.counters.by_path[TOKEN_PATH]) == (True, int(first == "service"))


async def test_a_reconciliation_of_the_peer_is_shown_and_no_other_starts_meanwhile(
    service: Service, peer: Peer
) -> None:
    running = b'{"id":"%b","state":"running","startedAt":%d,"look":1,"expected":9,"read":4}' % (JOB.encode(), now_ms())
    jobs = peer.key("reconciliation")
    await peer.redis.mset({f"{jobs}:job:{JOB}": running, f"{jobs}:lease": JOB, f"{jobs}:last": JOB_DONE})
    started = await service.client.post(RECONCILIATION)
    assert (started.json()["id"], started.json()["state"], started.json()["read"]) == (JOB, "running", 4)
    assert (await service.get(RECONCILIATION)).json()["verdicts"] == {"mismatch": 1}
    await peer.redis.delete(f"{jobs}:lease")
    assert (await service.get(started.headers["location"])).json()["state"] == "lost"


async def test_a_page_is_read_on_that_the_peer_began(service: Service, peer: Peer) -> None:
    head = (
        b'{"head":{"scope":"merchants of all","as_of":%d,"view":{"complete":true,'
        b'"coverage":{"expected":2,"fresh":2,"stale":0,"unavailable":0},"directoryAsOf":"2026-11-30T02:52:31.679Z",'
        b'"oldestAsOf":"2026-11-30T02:52:31.652Z","newestAsOf":"2026-11-30T02:52:31.717Z","totals":[]}},"count":2}'
    )
    item = b'{"merchantId":%d,"status":"fresh","canDeposit":true,"asOf":"2026-11-30T02:52:31.703Z","balances":[]}'
    items = zlib.compress(b"[" + b",".join((item % 5, item % 6)) + b"]", 1)
    version = "0c87a79a6ee38023e8c74010"
    await peer.redis.hset(peer.key(f"version:{version}"), mapping={"0": items, "head": head % now_ms()})
    page = (await service.get(f"/v1/portfolio/merchants?limit=1&after={version}-1")).json()
    assert ([one["merchantId"] for one in page["merchants"]], page["version"]) == ([6], version)


async def test_a_page_that_is_begun_here_is_kept_in_the_recorded_form(service: Service, peer: Peer) -> None:
    page = (await service.get("/v1/portfolio/merchants?limit=1")).json()
    fields = await peer.redis.hgetall(peer.key(f"version:{page['version']}"))
    head, items = json.loads(fields[b"head"]), json.loads(zlib.decompress(fields[b"0"]))
    assert fields.keys() == {b"head", b"0"}
    assert (list(head), list(head["head"]), head["head"]["scope"]) == (
        ["head", "count"],
        ["scope", "as_of", "view"],
        "merchants of all",
    )
    assert (items[:1], len(items)) == (page["merchants"], head["count"])
    shown = {name: value for name, value in page.items() if name not in {"version", "next", "merchants", "sweep"}}
    assert head["head"]["view"] == shown

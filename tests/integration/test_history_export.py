"""`tallygate history export`, run as a program beside a service: what is kept of the past, as lines of JSON."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.fork_server import fork
from tests.support.gateway import free_port
from tests.support.processes import Finished, run
from tests.support.rows import row
from tests.support.service import Service, run_service

FIRST, LAST = "2001-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
PAGE = Path(__file__).parents[2] / "docs" / "history.md"


@pytest.fixture
async def service(upstream: Sandbox, valkey: EmbeddedValkey) -> AsyncIterator[Service]:
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
    async with run_service(upstream, valkey.url) as running:
        yield running


async def look(service: Service, merchant: int, *amounts: int) -> None:
    for amount in amounts:
        rows = [row(str(amount), str(amount), "0", asset="USDT")]
        service.upstream.world.set(merchant, rows, can_deposit=amount != 3)
        answer = await service.get(f"/v1/merchants/{merchant}/balances", Cache_Control="no-cache")
        assert (answer.status_code, "fwd=miss; stored" in answer.headers["cache-status"]) == (200, True), answer.headers


async def export(redis_url: str, *arguments: str, **settings: str) -> tuple[Finished, list[dict[str, Any]]]:
    """Run it with nothing but the URL of Redis, until `LAST` if no moment is given.

    By default it ends before now. A look of this millisecond, or one after many in a millisecond, is not before that.
    """
    given = arguments if "--until" in arguments else (*arguments, "--until", LAST)
    variables = {
        "TALLYGATE_REDIS_URL": redis_url,
        **{f"TALLYGATE_{name.upper()}": text for name, text in settings.items()},
    }
    finished = await run(variables, "history", "export", *given)
    return finished, [json.loads(line) for line in finished.output.splitlines()]


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


def amounts(lines: list[dict[str, Any]]) -> list[tuple[int, int, str]]:
    return [(one["merchantId"], one["sequence"], one["balances"][0]["total"]) for one in of_kind(lines, "state")]


async def test_it_writes_all_that_is_kept_and_needs_only_redis(service: Service, valkey: EmbeddedValkey) -> None:
    await look(service, 777, *range(1, 121))
    await look(service, 778, 1, 1, 2)
    recorded = (await service.get("/v1/merchants/777/changes?limit=500")).json()["changes"]
    assert [change["sequence"] for change in recorded] == list(range(120))
    finished, lines = await export(valkey.url, "--from", FIRST)
    assert (finished.status, finished.errors) == (0, "")
    assert amounts(lines) == [
        *((777, number, str(number + 1)) for number in range(120)),
        *((778, 0, "1"), (778, 1, "2")),
    ]
    assert lines[-1] == {"kind": "end", "accounts": 2, "states": 122, "gaps": 0}
    states = of_kind(lines, "state")
    assert states[0]["first"] is True
    assert states[1]["holds"]["from"] == states[0]["holds"]["changedBy"]
    assert states[2]["canDeposit"] is False
    assert "changedBy" not in states[119]["holds"]
    first, _ = of_kind(lines, "account")
    assert (first["merchantId"], first["keptFrom"]) == (777, states[0]["holds"]["from"])
    assert (states[120]["looks"], states[121]["looks"]) == (2, 1)


async def test_moments_and_merchants_select(service: Service, valkey: EmbeddedValkey) -> None:
    await look(service, 777, 1, 2, 3, 4)
    await look(service, 778, 1)
    await service.get("/v1/portfolio", Cache_Control="no-cache")
    _, lines = await export(valkey.url, "--from", FIRST, "--merchants", "777,779")
    second, fourth = of_kind(lines, "state")[1]["holds"]["from"], of_kind(lines, "state")[3]["holds"]["from"]
    _, some = await export(valkey.url, "--from", second, "--until", fourth, "--merchants", "777")
    assert [sequence for _, sequence, _ in amounts(some)] == [1, 2]
    _, all_of_them = await export(valkey.url, "--from", FIRST, "--portfolio")
    assert {line["merchantId"] for line in of_kind(all_of_them, "account")} == {0, 777, 778}


async def test_the_store_of_the_history_goes_first(service: Service, valkey: EmbeddedValkey) -> None:
    await look(service, 777, 1)
    away = f"redis://:secret-9b@127.0.0.1:{free_port()}"
    right, lines = await export(away, "--from", FIRST, history_redis_url=valkey.url)
    assert (right.status, len(amounts(lines))) == (0, 1)
    wrong, _ = await export(valkey.url, "--from", FIRST, history_redis_url=away)
    assert (wrong.status, wrong.output) == (2, "")
    assert "TALLYGATE_HISTORY_REDIS_URL" in wrong.errors
    assert "secret-9b" not in wrong.errors


async def test_histories_of_several_upstreams_are_told_apart(service: Service, valkey: EmbeddedValkey) -> None:
    await look(service, 777, 1)
    await service.redis.hset("tallygate:2:0123456789ab:{5}:history", "epoch", "1-a")
    unsure, _ = await export(valkey.url, "--from", FIRST)
    assert unsure.status == 2
    assert "TALLYGATE_UPSTREAM_URL" in unsure.errors
    sure, lines = await export(valkey.url, "--from", FIRST, upstream_url=service.upstream.url)
    assert (sure.status, len(amounts(lines))) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (("--from", "yesterday"), {}, "--from wants a time"),
        (("--from", FIRST, "--until", "2000-01-01T00:00:00Z"), {}, "--until is before --from"),
        (("--from", FIRST, "--merchants", "x"), {}, "--merchants wants"),
        (("--from", FIRST), {"TALLYGATE_REDIS_URL": None}, "TALLYGATE_REDIS_URL is not set"),
        (("--from", FIRST), {}, "There is no history in this Redis"),
    ],
)
async def test_what_is_wrong_is_said(
    valkey: EmbeddedValkey, arguments: tuple[str, ...], variables: Mapping[str, None], says: str
) -> None:
    given = {"TALLYGATE_REDIS_URL": valkey.url, "TALLYGATE_UPSTREAM_URL": "https://nobody.example.com", **variables}
    finished = await run({name: text for name, text in given.items() if text}, "history", "export", *arguments)
    assert (finished.status, finished.output) == (2, "")
    assert says in finished.errors
    assert "Traceback" not in finished.errors


async def test_a_reader_that_goes_ends_it_without_a_word(service: Service, valkey: EmbeddedValkey) -> None:
    await look(service, 777, *range(1, 400))
    process = await fork({"TALLYGATE_REDIS_URL": valkey.url}, "history", "export", "--from", FIRST)
    assert process.stdout is not None
    process.stdout._transport.close()  # type: ignore[attr-defined]  # as `head` does
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (141, b"")


async def test_the_example_of_the_page_is_what_is_written(service: Service, valkey: EmbeddedValkey) -> None:
    await look(service, 12345, 1000, 900)
    _, lines = await export(valkey.url, "--from", FIRST, "--merchants", "12345")
    section = PAGE.read_text().partition("## Export")[2]
    shown = [json.loads(line) for line in section.partition("```json\n")[2].partition("```")[0].splitlines()]
    assert [keys_of(line) for line in shown] == [keys_of(line) for line in lines]
    assert amounts(shown) == amounts(lines)


def keys_of(line: Any) -> Any:
    if isinstance(line, dict):
        return {name: keys_of(value) for name, value in line.items()}
    return [keys_of(one) for one in line] if isinstance(line, list) else None

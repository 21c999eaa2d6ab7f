"""`tallygate check` and `tallygate key new`, run as programs."""

import asyncio
import re
import sys
import tomllib
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.fork_server import inherited
from tests.support.gateway import TOKEN, free_port, run_gateway, serving, write_clients
from tests.support.processes import Finished, run
from tests.support.valkey import run_valkey


def read_findings(finished: Finished) -> dict[str, tuple[str, str]]:
    """The table of findings: verdict and sentence by subject."""
    rows = [line.split(maxsplit=2) for line in finished.output.splitlines()]
    assert {row[0] for row in rows} <= {"right", "wrong"}, finished.output  # and no log line
    return {subject: (verdict, sentence) for verdict, subject, sentence in rows}


async def check(upstream_url: str, folder: Path, **changed: object) -> Finished:
    right = {"clients_file": write_clients(folder / "clients.toml")}
    finished = await run(serving(upstream_url, **{**right, **changed}), "check")
    assert "Traceback" not in finished.errors
    assert TOKEN not in finished.said
    return finished


async def test_check_is_content_when_all_is_right(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    before = shared_upstream.counters.balance_calls
    finished = await check(shared_upstream.url, tmp_path, redis_url=valkey.url, redis_timeout_seconds=5)
    assert finished.status == 0
    findings = read_findings(finished)
    assert set(findings) == {"settings", "files", "callers", "redis", "upstream", "token", "portfolio"}
    assert {verdict for verdict, _ in findings.values()} == {"right"}
    assert shared_upstream.counters.balance_calls == before + 1


async def test_check_tries_a_redis_of_its_own_for_the_history(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    right = await check(shared_upstream.url, tmp_path, redis_timeout_seconds=5, history_redis_url=valkey.url)
    assert read_findings(right)["history"] == ("right", "Its Redis does all that is needed.")
    away = f"redis://:secret-9b@127.0.0.1:{free_port()}"
    wrong = await check(shared_upstream.url, tmp_path, history_redis_url=away)
    assert wrong.status == 1
    verdict, sentence = read_findings(wrong)["history"]
    assert (verdict, sentence.partition(":")[0]) == ("wrong", "TALLYGATE_HISTORY_REDIS_URL")
    assert "secret-9b" not in wrong.said


async def test_check_needs_no_redis(shared_upstream: Sandbox, tmp_path: Path) -> None:
    finished = await check(shared_upstream.url, tmp_path)
    assert finished.status == 0
    assert read_findings(finished)["redis"][0] == "right"


async def test_check_says_what_the_number_of_merchants_means_for_the_budget(
    shared_upstream: Sandbox, tmp_path: Path
) -> None:
    merchants = ",".join(str(number) for number in range(1, 2002))
    finished = await check(shared_upstream.url, tmp_path, merchants=merchants, upstream_rate=10)
    assert finished.status == 0
    said = "2,001 merchants at 10 calls a second: a round takes 200 s."
    assert read_findings(finished)["portfolio"] == ("right", said)


async def test_check_reports_a_budget_that_is_too_small_for_the_merchants(
    shared_upstream: Sandbox, tmp_path: Path
) -> None:
    merchants = ",".join(str(number) for number in range(1, 2002))
    finished = await check(shared_upstream.url, tmp_path, merchants=merchants, upstream_rate=0.5)
    assert finished.status == 1
    assert read_findings(finished)["portfolio"][1].endswith("TALLYGATE_UPSTREAM_RATE=1 would do.")


async def test_check_reports_a_refused_token(shared_upstream: Sandbox, tmp_path: Path) -> None:
    finished = await check(shared_upstream.url, tmp_path, upstream_token="secret-old-token")
    assert finished.status == 1
    assert read_findings(finished)["upstream"][0] == "right"
    assert read_findings(finished)["token"][0] == "wrong"
    assert "TALLYGATE_UPSTREAM_TOKEN" in read_findings(finished)["token"][1]
    assert "secret-old-token" not in finished.said


MINTING = {"upstream_token": None, "upstream_api_key": "sandbox-api-key"}


async def test_check_mints_a_token_where_the_service_would(shared_upstream: Sandbox, tmp_path: Path) -> None:
    finished = await check(shared_upstream.url, tmp_path, **MINTING, upstream_api_secret="sandbox-api-secret")
    assert finished.status == 0
    assert "minted" in read_findings(finished)["token"][1]
    assert "sandbox-api" not in finished.said


async def test_check_reports_a_secret_that_mints_nothing(shared_upstream: Sandbox, tmp_path: Path) -> None:
    finished = await check(shared_upstream.url, tmp_path, **MINTING, upstream_api_secret="secret-wrong")
    assert finished.status == 1
    verdict, sentence = read_findings(finished)["token"]
    assert verdict == "wrong"
    assert "TALLYGATE_UPSTREAM_API_SECRET" in sentence
    assert "secret-wrong" not in finished.said


async def test_check_reports_an_address_that_is_not_listed(shared_upstream: Sandbox, tmp_path: Path) -> None:
    with shared_upstream.fault("address-not-listed"):
        finished = await check(shared_upstream.url, tmp_path)
    assert finished.status == 1
    assert "address" in read_findings(finished)["upstream"][1]


async def test_check_reports_an_upstream_that_cannot_be_reached(tmp_path: Path) -> None:
    finished = await check(f"http://127.0.0.1:{free_port()}", tmp_path)
    assert finished.status == 1
    assert "connection refused" in read_findings(finished)["upstream"][1]


async def test_check_reports_an_upstream_whose_name_is_not_known(tmp_path: Path) -> None:
    finished = await check("http://no.such.host.invalid", tmp_path)
    assert finished.status == 1
    assert "name is not known" in read_findings(finished)["upstream"][1]


async def test_check_reports_a_redis_that_is_down(shared_upstream: Sandbox, tmp_path: Path) -> None:
    finished = await check(shared_upstream.url, tmp_path, redis_url=f"redis://:secret-9b@127.0.0.1:{free_port()}")
    assert finished.status == 1
    assert read_findings(finished)["redis"][0] == "wrong"
    assert "TALLYGATE_REDIS_URL" in read_findings(finished)["redis"][1]
    assert "secret-9b" not in finished.said


async def test_check_reports_what_a_redis_lacks_and_nothing_of_its_url(
    shared_upstream: Sandbox, tmp_path: Path
) -> None:
    async with run_valkey(port=free_port()) as server:
        await server.ask("ACL", "SETUSER", "limited", "on", ">secret-9b", "~*", "+@all", "-publish", "resetchannels")
        url_file = tmp_path / "url"
        url_file.write_text(f"redis://limited:secret-9b@{server.address}\n")
        finished = await check(shared_upstream.url, tmp_path, redis_url_file=url_file)
    assert finished.status == 1
    sentence = "TALLYGATE_REDIS_URL_FILE: The user lacks rights: +publish, &tallygate:* (docs/redis.md lists all)."
    assert read_findings(finished)["redis"] == ("wrong", sentence)
    assert "secret-9b" not in finished.said


async def test_check_reports_a_broken_clients_file_and_goes_on(shared_upstream: Sandbox, tmp_path: Path) -> None:
    finished = await check(shared_upstream.url, tmp_path, clients_file=tmp_path / "missing.toml")
    assert finished.status == 1
    assert read_findings(finished)["callers"][0] == "wrong"
    assert "missing.toml" in read_findings(finished)["callers"][1]
    assert read_findings(finished)["token"][0] == "right"


@pytest.mark.parametrize("command", [["check"], ["key", "new", "--client", "a", "--merchants", "all"]])
@pytest.mark.parametrize("redirected", [">/dev/full", ">/dev/full 2>/dev/full", "2>&-", ">&- 2>&-"])
async def test_output_that_cannot_be_written_is_no_crash(command: list[str], redirected: str) -> None:
    words = ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "app", *command]
    process = await asyncio.create_subprocess_exec(*words, env=inherited(), stdout=PIPE, stderr=PIPE)
    _, errors = await process.communicate()
    assert b"Traceback" not in errors
    if redirected == ">/dev/full":
        assert errors == b"tallygate: Standard output cannot be written (No space left on device).\n"
    assert process.returncode == (2 if "full" in redirected else 1 if command == ["check"] else 0)


async def test_check_reports_a_missing_setting(tmp_path: Path) -> None:
    finished = await check("", tmp_path)
    assert finished.status == 1
    assert "TALLYGATE_UPSTREAM_URL" in read_findings(finished)["settings"][1]


async def test_check_reports_an_unknown_setting(shared_upstream: Sandbox, tmp_path: Path) -> None:
    finished = await check(shared_upstream.url, tmp_path, upstrem_rate=5)
    assert finished.status == 1
    assert "TALLYGATE_UPSTREAM_RATE" in read_findings(finished)["settings"][1]


async def new_key(client: str, merchants: str, *more: str) -> tuple[str, str]:
    finished = await run({}, "key", "new", "--client", client, "--merchants", merchants, *more)
    assert (finished.status, finished.errors) == (0, "")
    (key,) = re.findall(r"tg_[A-Za-z0-9_-]{43}", finished.output)
    assert finished.output.count(key) == 1
    return key, finished.output[finished.output.index("[[client]]") :]


async def test_a_new_key_works_with_the_printed_lines(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    every, lines = await new_key("every", "all", "--portfolio")
    one, more = await new_key("one", "12345, 12346")
    assert every not in lines
    clients = tmp_path / "printed.toml"
    clients.write_text(lines + more)
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, clients_file=clients) as gateway:
        statuses = {
            (name, path): (await gateway.get(path, Authorization=f"Bearer {key}")).status_code
            for name, key in (("every", every), ("one", one), ("none", every[:-1]))
            for path in ("/v1/merchants/12345/balances", "/v1/merchants/10001/balances", "/v1/portfolio")
        }
    assert statuses == {
        ("every", "/v1/merchants/12345/balances"): 200,
        ("every", "/v1/merchants/10001/balances"): 200,
        ("every", "/v1/portfolio"): 200,
        ("one", "/v1/merchants/12345/balances"): 200,
        ("one", "/v1/merchants/10001/balances"): 403,
        ("one", "/v1/portfolio"): 403,
        ("none", "/v1/merchants/12345/balances"): 401,
        ("none", "/v1/merchants/10001/balances"): 401,
        ("none", "/v1/portfolio"): 401,
    }


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "Grüße", "two\nlines"])
async def test_the_printed_lines_are_toml_whatever_the_name(name: str) -> None:
    _, lines = await new_key(name, "all")
    assert tomllib.loads(lines)["client"][0]["name"] == name


@pytest.mark.parametrize("merchants", ["", "0", "007", "1,,2", "1;2", "-1", "everyone", "9999999999999999999999"])
async def test_merchants_that_are_none_are_refused(merchants: str) -> None:
    finished = await run({}, "key", "new", "--client", "a", f"--merchants={merchants}")
    assert (finished.status, finished.output) == (2, "")
    assert "--merchants" in finished.errors
    assert len(finished.errors.splitlines()) == 1

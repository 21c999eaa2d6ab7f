"""Why the service does not start: told in one line that names what is wrong, and never a secret."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from socket import create_server

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.fork_server import inherited
from tests.support.gateway import TOKEN, Gateway, as_variables, free_port, newcomer, run_gateway, serving, write_clients
from tests.support.processes import Finished, left_in, run

SECRET = "secret-9b1c"
HASH = "0" * 64

SETTINGS: dict[str, dict[str, object]] = {
    "UPSTREAM_URL is not set": {"upstream_url": None},
    "UPSTREAM_URL is empty": {"upstream_url": ""},
    "REDIS_URL is empty": {"redis_url": ""},
    "UPSTREAM_TOKEN_FILE is empty": {"upstream_token_file": " "},
    "LOG_LEVEL is empty": {"log_level": ""},
    "LOG_LEVEL wants one of debug, info, warning, error": {"log_level": "LOUD"},
    "LOG_FORMAT wants one of json, console": {"log_format": "xml"},
    "AUDIT wants one of none, refused, all": {"audit": "some"},
    "PLAIN wants true or false": {"plain": "perhaps"},
    "MERCHANTS wants `discover`, or merchant ids separated by commas": {"merchants": "1, 2"},
    "OTLP_ENDPOINT wants a URL like": {"otlp_endpoint": "collector:4318"},
    "METRICS_PORT and TALLYGATE_PORT are both 1": {"port": 1, "metrics_port": 1},
    "UPSTREAM_TOKEN_FILE: folder cannot be read (it is a folder)": {
        "upstream_token": None,
        "upstream_token_file": "folder",
    },
    "UPSTREAM_TOKEN_FILE: fifo cannot be read (it is no regular file)": {
        "upstream_token": None,
        "upstream_token_file": "fifo",
    },
    "UPSTREAM_TOKEN_FILE: huge cannot be read (it is larger than 1048576 bytes)": {
        "upstream_token": None,
        "upstream_token_file": "huge",
    },
    "CLIENTS_FILE: fifo cannot be read (it is no regular file)": {"clients_file": "fifo"},
    "CLIENTS_FILE: folder cannot be read (it is a folder)": {"clients_file": "folder"},
    "UPSTREAM_URL wants": {"upstream_url": "ftp://example.com"},
    "UPSTREAM_URL wants an origin": {"upstream_url": "https://example.com/v2"},
    "UPSTREAM_URL wants an origin like": {"upstream_url": f"https://me:{SECRET}@example.com"},
    "UPSTREAM_URL": {"upstream_url": "https://exa mple.com"},
    "UPSTREAM_TOKEN is not set, nor TALLYGATE_UPSTREAM_TOKEN_FILE": {"upstream_token": None},
    "UPSTREAM_TOKEN is wrong": {"upstream_token": f"{SECRET}\nX-Injected: 1"},
    "UPSTREAM_TOKEN and TALLYGATE_UPSTREAM_TOKEN_FILE are both set": {"upstream_token_file": "token"},
    "UPSTREAM_TOKEN_FILE: missing cannot be read": {"upstream_token": None, "upstream_token_file": "missing"},
    "UPSTREAM_TOKEN_FILE: empty is empty": {"upstream_token": None, "upstream_token_file": "empty"},
    "UPSTREAM_TOKEN_FILE: binary cannot be read": {"upstream_token": None, "upstream_token_file": "binary"},
    "REDIS_URL_FILE: missing cannot be read": {"redis_url_file": "missing"},
    "REDIS_URL is wrong: the Redis URL wants": {"redis_url": f"https://:{SECRET}@localhost"},
    "REDIS_URL is wrong: the Redis URL names no host": {"redis_url": f"redis://:{SECRET}@localhost:port"},
    "REDIS_URL": {"redis_url": f"redis://:{SECRET}@localhost?no_such_option=1"},
    "CLIENTS_FILE is not set": {"clients_file": None},
    "CLIENTS_FILE: missing cannot be read": {"clients_file": "missing"},
    "HOST": {"host": "no.such.host.invalid"},
    "HOST a..b": {"host": "a..b"},
    "PORT is wrong": {"port": 0},
    "PORT is wrong: expected": {"port": "tcp://10.0.0.1:8080"},
    "WORKERS is wrong": {"workers": 0},
    "UPSTREAM_TIMEOUT_SECONDS is wrong": {"upstream_timeout_seconds": 0},
    "UPSTREAM_RATE is wrong": {"upstream_rate": "fast"},
    "UPSTREAM_BURST is wrong": {"upstream_burst": 0},
    "UPSTREAM_CONCURRENCY is wrong": {"upstream_concurrency": 1.5},
    "HISTORY_REDIS_URL is wrong: the Redis URL wants": {"history_redis_url": f"https://:{SECRET}@localhost"},
    "HISTORY_SECONDS is wrong": {"history_seconds": "-1"},
    "HISTORY_BYTES is wrong": {"history_bytes": "256MB"},
    "REDIS_TIMEOUT_SECONDS is wrong": {"redis_timeout_seconds": "nan"},
    "FRESH_SECONDS is wrong": {"fresh_seconds": -1},
    "STALE_WHILE_REVALIDATE_SECONDS is wrong": {"stale_while_revalidate_seconds": "inf"},
    "STALE_IF_ERROR_SECONDS is wrong": {"stale_if_error_seconds": "1 min"},
    "ABSENT_SECONDS is wrong": {"absent_seconds": 86401},
}

CLIENTS = {
    "is not TOML": "[[client]\n",
    "names no client": "",
    "unknown field": f'[[client]]\nname = "a"\nkey_sha256 = "{HASH}"\nmerchant = [1]\n',
    "unknown field `clients`": f'[[clients]]\nname = "a"\nkey_sha256 = "{HASH}"\n',
    "the same name": f'[[client]]\nname = "a"\nkey_sha256 = "{HASH}"\n[[client]]\nname = "a"\nkey_sha256 = "1{HASH[1:]}"\n',
    "the same key_sha256": f'[[client]]\nname = "a"\nkey_sha256 = "{HASH}"\n[[client]]\nname = "b"\nkey_sha256 = "{HASH}"\n',
    "key_sha256": f'[[client]]\nname = "a"\nkey_sha256 = "{SECRET}"\n',
    "required field `key_sha256`": '[[client]]\nname = "a"\n',
    "$.client[0].merchants[0]": f'[[client]]\nname = "a"\nkey_sha256 = "{HASH}"\nmerchants = [0]\n',
    "merchants": f'[[client]]\nname = "a"\nkey_sha256 = "{HASH}"\nmerchants = "some"\n',
    "rate": f'[[client]]\nname = "a"\nkey_sha256 = "{HASH}"\nrate = 0\n',
    "portfolio": f'[[client]]\nname = "a"\nkey_sha256 = "{HASH}"\nportfolio = "yes"\n',
    "name": f'[[client]]\nname = ""\nkey_sha256 = "{HASH}"\n',
    "cannot be read (it is not UTF-8)": "\udcff",
    "not TOML": f"a = {'[' * 10_000}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the settings name."""
    folder = tmp_path_factory.mktemp("start")
    for name, content in (("token", SECRET.encode()), ("empty", b" \n"), ("binary", b"\xff\xfe")):
        (folder / name).write_bytes(content)
    (folder / "huge").write_bytes(bytes(1 << 20 | 1))
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    write_clients(folder / "clients.toml")
    return folder


async def fail(folder: Path, upstream: Sandbox, **changed: object) -> str:
    """Start the service wrongly and give the one line that it says."""
    right = {"port": free_port(), "clients_file": folder / "clients.toml"}
    environment = serving(upstream.url, **{**right, **changed})
    return assert_reported_in_one_line(await run(environment, "serve", folder=folder))


def assert_reported_in_one_line(failure: Finished) -> str:
    assert failure.status == 2, failure
    assert failure.output == ""
    (line,) = failure.errors.splitlines()
    assert line.startswith("tallygate: ")
    assert SECRET not in line
    assert TOKEN not in line
    return line


@pytest.mark.parametrize("said", SETTINGS)
async def test_a_wrong_setting_names_itself(folder: Path, shared_upstream: Sandbox, said: str) -> None:
    assert f"TALLYGATE_{said}" in await fail(folder, shared_upstream, **SETTINGS[said])


@pytest.mark.parametrize("said", CLIENTS)
async def test_a_broken_clients_file_names_itself_and_what_is_wrong(
    folder: Path, shared_upstream: Sandbox, said: str
) -> None:
    path = folder / "wrong.toml"
    path.write_text(CLIENTS[said], encoding="utf-8", errors="surrogateescape")
    line = await fail(folder, shared_upstream, clients_file=path)
    assert str(path) in line
    assert said in line


@pytest.mark.parametrize("setting", ["port", "metrics_port"])
async def test_a_port_in_use_is_named(folder: Path, shared_upstream: Sandbox, setting: str) -> None:
    with create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = await fail(folder, shared_upstream, **{"port": free_port(), setting: port})
    assert str(port) in line
    assert "in use" in line
    assert f"another TALLYGATE_{setting.upper()}." in line


async def test_a_port_of_a_running_gateway_is_in_use(folder: Path, shared_upstream: Sandbox, gateway: Gateway) -> None:
    assert "in use" in await fail(folder, shared_upstream, port=gateway.url.rpartition(":")[2])
    assert (await gateway.get("/health/live")).status_code == 200


async def test_a_temporary_directory_that_will_not_do_is_reported(folder: Path, shared_upstream: Sandbox) -> None:
    deep = folder / ("d" * 100)  # a Unix socket's path has some 100 bytes at most
    deep.mkdir()
    settings = as_variables({"port": free_port(), "clients_file": folder / "clients.toml"})
    environment = {**serving(shared_upstream.url), **settings, "TMPDIR": str(deep)}
    assert "TALLYGATE_REDIS_URL" in assert_reported_in_one_line(await run(environment, "serve"))
    assert left_in(deep) == []


@pytest.mark.parametrize("redis", ["embedded", "given"])
async def test_no_writable_temporary_folder_is_reported(folder: Path, shared_upstream: Sandbox, redis: str) -> None:
    settings = {"port": free_port(), "clients_file": folder / "clients.toml"}
    if redis == "given":
        settings["redis_url"] = "redis://127.0.0.1:1"
    command = [
        "/bin/sh",
        "-c",
        'ulimit -f 0; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "app",
        "serve",
    ]  # nothing is written
    environment = {**inherited(), **serving(shared_upstream.url, **settings)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate()
    finished = Finished(process.returncode or 0, output.decode(), errors.decode())
    assert "TMPDIR" in assert_reported_in_one_line(finished)


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::"])
async def test_it_listens_at_a_name_or_an_address(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, host: str
) -> None:
    metrics_port = free_port()
    async with run_gateway(
        shared_upstream, tmp_path, redis_url=valkey.url, host=host, metrics_port=metrics_port
    ) as gateway:
        port = gateway.url.rpartition(":")[2]
        shown = "[::1]" if ":" in host else "127.0.0.1"
        async with newcomer() as client:
            for at in (port, metrics_port):
                assert (await client.get(f"http://{shown}:{at}/health/ready")).status_code == 200


async def test_it_is_the_same_when_the_program_is_started_afresh(folder: Path, shared_upstream: Sandbox) -> None:
    finished = await run({**serving(shared_upstream.url), "TALLYGATE_PORT": "http"}, "serve", folder=folder)
    assert "TALLYGATE_CLIENTS_FILE is not set" in assert_reported_in_one_line(finished)


async def test_an_unknown_variable_is_warned_of_with_the_one_that_is_meant(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_gateway(
        shared_upstream, tmp_path, redis_url=valkey.url, upstrem_timeout_seconds=3, wholly_different=SECRET
    ) as gateway:
        await gateway.logged("settings.unknown", 2)
        warnings = {line["variable"]: line["perhaps"] for line in gateway.named("settings.unknown")}
        assert warnings == {
            "TALLYGATE_UPSTREM_TIMEOUT_SECONDS": "TALLYGATE_UPSTREAM_TIMEOUT_SECONDS",
            "TALLYGATE_WHOLLY_DIFFERENT": None,
        }
        assert SECRET not in "".join(gateway.lines)


async def test_secrets_may_come_from_files(shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path) -> None:
    token, redis_url = tmp_path / "token", tmp_path / "redis"
    token.write_text(f"\ufeff{TOKEN}\n")  # as some editors write it
    redis_url.write_text(f"{valkey.url}\n")
    async with run_gateway(
        shared_upstream, tmp_path, upstream_token=None, upstream_token_file=token, redis_url_file=redis_url
    ) as gateway:
        assert (await gateway.get("/v1/merchants/12345/balances")).status_code == 200
        readiness = (await gateway.get("/health/ready")).json()
        assert (readiness["token"], readiness["redis"]) == ("accepted", "available")

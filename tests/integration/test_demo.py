"""`tallygate demo`: what it prints works as it stands, and nothing of it is left."""

import asyncio
import json
import os
import re
import shlex
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import create_server

import pytest
from httpx import URL

from tests.support.fork_server import Fork, fork
from tests.support.gateway import PATIENCE_SECONDS, free_port, listening, newcomer, stop
from tests.support.processes import Sighting, all_gone, left_in, processes_of, run

EXPECTED = [{"BTC": "0.5", "USDT": "1000"}, {"BTC": "2", "USDT": "5000"}, {"BTC": "0.5", "USDT": "1000"}]


@asynccontextmanager
async def run_demo(folder: Path, **environment: str) -> AsyncIterator[tuple[Fork, list[str]]]:
    """Run the demo until its last line is out and its server has started; give what it has printed."""
    port = free_port()
    ports = ("--port", str(port), "--upstream-port", str(free_port()))
    process = await fork({"TMPDIR": str(folder), **environment}, "demo", *ports, folder=folder, own_session=True)
    printed: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "/docs" not in "".join(printed[-1:]):
                line = await process.stdout.readline()
                assert line, (await process.stderr.read()).decode()
                printed.append(line.decode())
            while b"server.started" not in (line := await process.stderr.readline()):
                assert line
        await listening(port)  # the server binds after the application has started
        yield process, printed
    finally:
        await stop(process)
        await asyncio.gather(process.stdout.read(), process.stderr.read())


async def curl(line: str) -> str:
    """Do what a line says, read as a shell would and curl would, which need not be there."""
    program, *options, url = shlex.split(line)
    assert program == "curl"
    assert set(options[::2]) <= {"-H", "-d"}
    given = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
    bodies = [value for option, value in given if option == "-d"]
    if bodies:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}  # as curl does
    async with newcomer() as client:
        response = await client.request("POST" if bodies else "GET", url, headers=headers, content="".join(bodies))
    return response.raise_for_status().text


async def follow(line: str) -> str:
    """Do what a line about a stream says, and give the first line that comes."""
    program, unbuffered, option, header, url = shlex.split(line)
    assert (program, unbuffered, option) == ("curl", "-N", "-H")
    async with newcomer() as client, client.stream("GET", url, headers=dict([header.split(": ", 1)])) as response:
        return await anext(response.aiter_lines())


async def test_its_lines_work_as_they_stand_and_an_interrupt_leaves_nothing(private_tmp: Path) -> None:
    async with run_demo(private_tmp) as (process, printed):
        *lines, stream = [line.strip() for line in printed if line.strip().startswith("curl ")]
        *answers, moved = [json.loads(await curl(line)) for line in lines]
        assert moved["merchants"] == 1
        assert (await follow(stream)).startswith("merchant")
        rows = [answer.get("data", answer)["balances"] for answer in answers]
        assert [{row["assetId"]: row["total"] for row in each} for each in rows] == EXPECTED
        docs = re.findall(r"http://\S+/docs", printed[-1])[0]
        assert "Tallygate" in await curl(f"curl {docs}")
        processes = processes_of(private_tmp)
        assert len(processes) >= 6  # the service, its worker, the upstream, the keeper's two shells, Valkey
        os.killpg(process.pid, signal.SIGINT)
        await assert_it_ends_well(process, processes, private_tmp)


async def test_a_termination_of_the_process_alone_leaves_nothing_either(private_tmp: Path) -> None:
    async with run_demo(private_tmp) as (process, _):
        processes = processes_of(private_tmp)
        process.send_signal(signal.SIGTERM)
        await assert_it_ends_well(process, processes, private_tmp)


async def assert_it_ends_well(process: Fork, processes: list[Sighting], folder: Path) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await process.wait() == 0
    await all_gone(processes)
    assert not processes_of(folder)
    assert left_in(folder) == []


async def test_killing_it_leaves_no_process_and_no_file_either(private_tmp: Path) -> None:
    async with run_demo(private_tmp) as (process, _):
        processes = processes_of(private_tmp)
        process.kill()
        await all_gone(processes)
        assert left_in(private_tmp) == []


async def test_it_works_whatever_is_set_for_the_real_service(private_tmp: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("real-token")
    environment = {
        "TALLYGATE_UPSTREAM_URL": "https://upstream.invalid",
        "TALLYGATE_UPSTREAM_TOKEN_FILE": str(token),
        "TALLYGATE_REDIS_URL_FILE": str(token),
        "TALLYGATE_CLIENTS_FILE": "missing",
        "TALLYGATE_WORKERS": "2",
        "TALLYGATE_CORS_ORIGINS": "http://localhost:3000",
    }
    async with run_demo(private_tmp, **environment) as (_, printed):
        line = next(line.strip() for line in printed if line.strip().startswith("curl "))
        assert json.loads(await curl(line))["merchantId"] == 12345
        async with newcomer() as client:
            script = URL(shlex.split(line)[-1]).join("/client/tallygate.js")
            response = await client.get(script, headers={"Origin": "http://localhost:3000"})
        assert response.headers["access-control-allow-origin"] == "http://localhost:3000"


@pytest.mark.parametrize("taken", ["--port", "--upstream-port"])
async def test_a_port_in_use_is_reported_in_a_line_and_leaves_nothing(private_tmp: Path, taken: str) -> None:
    with create_server(("127.0.0.1", 0)) as other:
        ports = {"--port": free_port(), "--upstream-port": free_port(), taken: other.getsockname()[1]}
        words = [str(word) for pair in ports.items() for word in pair]
        finished = await run({"TMPDIR": str(private_tmp)}, "demo", *words)
    assert (finished.status, finished.output) == (2, "")
    assert "Traceback" not in finished.errors
    assert finished.errors.splitlines()[-1].startswith("tallygate: ")
    assert left_in(private_tmp) == []

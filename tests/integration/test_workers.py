"""Several workers: whichever is scraped tells of them all, and what a dead one had counted is not lost."""

import json
import os
import signal
from pathlib import Path

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import Gateway, free_port, newcomer, run_gateway, serving, write_clients
from tests.support.polling import ask_until
from tests.support.processes import all_gone, left_in, processes_of, run
from tests.support.raw_http import connect
from tests.support.scrapes import Scraped, scrape

PATH = "/v1/portfolio"
COUNT = ("tallygate_http_requests_total", {"path": PATH, "status": "200"})


async def ask(gateway: Gateway, times: int) -> None:
    """Ask over a new connection each time, so that every worker gets some."""
    for _ in range(times):
        async with newcomer(gateway.url, gateway.client.headers) as client:
            assert (await client.get(PATH)).status_code == 200


async def shows(url: str, requests: int, restarts: int = 0) -> Scraped:
    """Wait until a scrape shows that many requests: workers tell each other once a second."""

    async def scrape_one() -> Scraped:
        async with newcomer() as client:
            return await scrape(client, f"{url}/metrics")

    def shown(seen: Scraped) -> bool:
        restarted = seen.value("tallygate_worker_restarts_total")
        return (seen.value(COUNT[0], **COUNT[1]), restarted) == (requests, restarts)

    return await ask_until(scrape_one, shown)


async def test_any_worker_shows_the_metrics_of_all(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, workers=2) as gateway:
        await ask(gateway, 40)
        for _ in range(20):
            seen = await shows(gateway.url, 40)
        assert seen.value("tallygate_answers_total") == 40
        assert seen.value("tallygate_callers") == 1


async def test_metrics_have_a_port_of_their_own_and_a_killed_worker_loses_no_count(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    port = free_port()
    apart = f"http://127.0.0.1:{port}"
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, workers=2, metrics_port=port) as gateway:
        assert (await gateway.get("/metrics")).status_code == 404
        async with newcomer(apart) as client:
            assert (await client.get("/v1/merchants")).status_code == 404
        await ask(gateway, 20)
        await shows(apart, 20)
        pid = gateway.named("server.started")[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        died = await gateway.logged("worker.died")
        assert (died["pid"], died["status"], died["level"]) == (pid, -signal.SIGKILL, "error")
        await gateway.logged("server.started", 3)
        await shows(apart, 20, restarts=1)
        await ask(gateway, 10)
        seen = await shows(apart, 30, restarts=1)
        assert seen.value("tallygate_answer_age_seconds_count") == 30


async def test_workers_that_cannot_start_end_the_service_and_the_log_says_why(
    shared_upstream: Sandbox, tmp_path: Path
) -> None:
    clients, missing = write_clients(tmp_path / "clients.toml"), tmp_path / "missing"
    settings = {"port": free_port(), "clients_file": clients, "redis_url": "redis://127.0.0.1:9", "workers": 2}
    environment = serving(shared_upstream.url, **settings, upstream_event_keys_file=missing)
    finished = await run(environment, "serve")
    lines = [json.loads(line) for line in finished.errors.splitlines()]
    assert (finished.status, finished.output) == (1, "")
    assert {line["event"] for line in lines} == {"worker.unstartable", "worker.died", "worker.crash_loop"}
    assert all(str(missing) in line["detail"] for line in lines if line["event"] == "worker.unstartable")


async def test_connections_that_use_up_the_callers_port_keep_no_probe_away(
    shared_upstream: Sandbox, tmp_path: Path
) -> None:
    port = free_port()
    async with (
        run_gateway(shared_upstream, tmp_path, metrics_port=port, connections=2) as gateway,
        connect(gateway.url),
        connect(gateway.url),
        connect(gateway.url),
        newcomer(f"http://127.0.0.1:{port}") as probe,
    ):
        for path in ("/health/live", "/health/ready"):
            answer = await ask_until(lambda path=path: probe.get(path), lambda answer: answer.is_success)  # type: ignore[misc]
            assert (await probe.head(path)).status_code == 200
        assert (answer.json()["status"], answer.json()["callers"]) == ("ready", 1)


async def test_nothing_is_left_of_a_service_whose_parent_is_killed(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, private_tmp: Path
) -> None:
    async with run_gateway(
        shared_upstream,
        tmp_path,
        place=private_tmp,
        redis_url=valkey.url,
        drain_seconds=600,
        workers=2,
    ) as gateway:
        processes = processes_of(private_tmp)
        assert len(processes) >= 3
        gateway.process.kill()
        await all_gone(processes)
        assert left_in(private_tmp) == []

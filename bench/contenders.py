"""Contenders of `bench.hot`: each is a process on the server's core and reads the same simulated upstream."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from socket import create_connection, create_server
from typing import Final

from msgspec import Struct

from app.access.callers import hash_key
from app.cli.key import format_client
from bench.memory import ASSETS

ROOT: Final = Path(__file__).parents[1]
SERVER_CORE, LOAD_CORE = "0", "1"
KEY: Final = "tg_bench"
TOKEN: Final = "bench-token"
MERCHANT: Final = 1
TEMPLATE: Final = "/v1/merchants/%d/balances"
PATH: Final = TEMPLATE % MERCHANT
UPSTREAM_TEMPLATE: Final = "/v2/assets/account/assets?merchantId=%d"
UPSTREAM_PATH: Final = UPSTREAM_TEMPLATE % MERCHANT


class Contender(Struct, frozen=True):
    """A server to ask: where, and with which headers. `pids` are those of its processes, a Redis of its own included."""

    name: str
    port: int
    path: str
    headers: Mapping[str, str]
    pids: tuple[int, ...] = ()


class Redis(Struct, frozen=True):
    """A Redis that is a process of its own."""

    url: str
    pid: int


class Stage:
    """Start the processes of a comparison. They end with the context."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack: Final = stack
        self._folder: Final = folder
        self.missing: list[str] = []

    def start(self, command: list[str], environment: Mapping[str, str], *, core: str = SERVER_CORE) -> int:
        """Start a process on a core and return its id."""
        process = subprocess.Popen(
            ["taskset", "-c", core, *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "stderr").open("ab"),
        )
        self._stack.callback(_end, process)
        return process.pid

    def start_upstream(self, *options: str, control: int | None = None) -> int:
        """Start the simulated upstream, with one more merchant of eight assets, and return its port."""
        port, control = free_port(), control or free_port()
        command = [sys.executable, "-m", "sandbox", f"--port={port}", f"--control-port={control}", *options]
        self.start(command, {"SANDBOX_TOKEN": TOKEN}, core=LOAD_CORE)
        await_port(control)
        put_merchant(control, "12345.67890123")
        return port

    def afternoons(self, upstream: int) -> list[Contender | None]:
        """Start two minimal gateways, as written in an afternoon; see `fastify`."""
        return [*self._pair(upstream, self._start_litestar), *self.fastify(upstream)]

    def fastify(self, upstream: int) -> list[Contender | None]:
        """Start a minimal gateway twice, each with its own Redis.

        Once that has the load's core, where it costs nothing of its own, and once it shares the server's, as our Valkey does.
        """
        return self._pair(upstream, self._start_fastify)

    def _pair(self, upstream: int, start: Callable[[int, Redis, str], Contender | None]) -> list[Contender | None]:
        if shutil.which("redis-server") is None:
            self.missing.append("redis-server")
            return []
        placements = ((LOAD_CORE, ""), (SERVER_CORE, " on the same core"))
        return [start(upstream, self.start_redis(core), where) for core, where in placements]

    def start_redis(self, core: str) -> Redis:
        """Start a Redis on a core."""
        port = free_port()
        pid = self.start(["redis-server", "--port", str(port), "--save", ""], {}, core=core)
        await_port(port)
        return Redis(f"redis://127.0.0.1:{port}", pid)

    def start_lean_upstream(self) -> int:
        """Start the upstream that takes little of the load's core, and return its port."""
        port = free_port()
        self.start([sys.executable, "-m", "bench.peers.upstream", str(port)], {}, core=LOAD_CORE)
        await_port(port)
        return port

    def tallygate(
        self,
        upstream: int,
        *,
        workers: int = 1,
        name: str = "Tallygate",
        redis: Redis | None = None,
        more: Mapping[str, object] | None = None,
    ) -> Contender:
        """Start Tallygate as it is shipped, with its embedded Valkey or another Redis, and with `more` settings."""
        port, clients = free_port(), self._folder / "clients.toml"
        clients.write_text(format_client("bench", hash_key(KEY), "all", portfolio=True))
        settings = {
            "PORT": port,
            "WORKERS": workers,
            "UPSTREAM_URL": f"http://127.0.0.1:{upstream}",
            "UPSTREAM_TOKEN": TOKEN,
            "UPSTREAM_RATE": 10_000,
            "CLIENTS_FILE": clients,
            "LOG_LEVEL": "warning",
            **({} if redis is None else {"REDIS_URL": redis.url}),
            **(more or {}),
        }
        pid = self.start(
            [sys.executable, "-m", "app", "serve"],
            {f"TALLYGATE_{name}": str(value) for name, value in settings.items()},
        )
        await_port(port)
        pids = (pid,) if redis is None else (pid, redis.pid)
        return Contender(name, port, PATH, {"Authorization": f"Bearer {KEY}"}, pids)

    @property
    def said(self) -> str:
        """What the processes wrote to their standard error so far."""
        return (self._folder / "stderr").read_text(encoding="utf-8", errors="replace")

    def bare(self, name: str, status: int, headers: list[tuple[str, str]], body: str) -> Contender:
        """Start the bare application on the same server; it sends these bytes."""
        port, answer = free_port(), self._folder / f"{status}.json"
        answer.write_text(json.dumps({"status": status, "headers": headers, "body": body}))
        pid = self.start(_serve(port, "bench.peers.bare:load"), {"BARE_ANSWER": str(answer)})
        await_port(port)
        return Contender(name, port, PATH, {"Authorization": f"Bearer {KEY}"}, (pid,))

    def _start_litestar(self, upstream: int, redis: Redis, where: str) -> Contender:
        port = free_port()
        pid = self.start(_serve(port, "bench.peers.afternoon:load"), _peer(upstream, redis))
        await_port(port)
        headers = {"Authorization": f"Bearer {KEY}"}
        return Contender(f"Litestar, httpx, redis{where}", port, PATH, headers, (pid, redis.pid))

    def _start_fastify(self, upstream: int, redis: Redis, where: str) -> Contender | None:
        folder = ROOT / "bench" / "peers" / "fastify"
        if shutil.which("node") is None or not (folder / "node_modules").is_dir():
            self.missing.append("Fastify (npm ci --prefix bench/peers/fastify)")
            return None
        port = free_port()
        pid = self.start(["node", str(folder / "server.mjs")], {**_peer(upstream, redis), "PEER_PORT": str(port)})
        await_port(port)
        headers = {"Authorization": f"Bearer {KEY}"}
        return Contender(f"Fastify, undici, ioredis{where}", port, PATH, headers, (pid, redis.pid))

    def nginx(self, upstream: int) -> Contender | None:
        """Start nginx with `proxy_cache`; None if it is missing."""
        if shutil.which("nginx") is None:
            self.missing.append("nginx")
            return None
        port, place = free_port(), self._folder / "nginx"
        place.mkdir()
        (place / "nginx.conf").write_text(_NGINX.format(port=port, place=place, upstream=upstream, token=TOKEN))
        self.start(["nginx", "-p", str(place), "-c", "nginx.conf"], {})
        await_port(port)
        return Contender("nginx proxy_cache", port, UPSTREAM_PATH, {})

    def varnish(self, upstream: int) -> Contender | None:
        """Start Varnish; None if it is missing."""
        if shutil.which("varnishd") is None:
            self.missing.append("varnish")
            return None
        port, place = free_port(), self._folder / "varnish"
        place.mkdir()
        (place / "bench.vcl").write_text(_VARNISH.format(upstream=upstream, token=TOKEN))
        where = ["-a", f"127.0.0.1:{port}", "-n", str(place), "-f", str(place / "bench.vcl")]
        self.start(["varnishd", "-F", *where, "-s", "malloc,64m", "-j", "none"], {})
        await_port(port)
        return Contender("Varnish", port, UPSTREAM_PATH, {})


_NGINX: Final = """\
daemon off; user root; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
  uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  proxy_cache_path {place}/cache keys_zone=one:10m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream}; proxy_set_header X-BH-TOKEN {token};
      proxy_cache one; proxy_cache_valid 200 5s; proxy_cache_use_stale updating; proxy_cache_background_update on;
      proxy_ignore_headers Cache-Control Expires;
    }}
  }}
}}
"""
_VARNISH: Final = """\
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{upstream}"; }}
sub vcl_backend_fetch {{ set bereq.http.X-BH-TOKEN = "{token}"; }}
sub vcl_backend_response {{ set beresp.ttl = 5s; set beresp.grace = 30s; unset beresp.http.Cache-Control; }}
"""


def _serve(port: int, factory: str) -> list[str]:
    return [sys.executable, "-m", "bench.peers.serve", str(port), factory]


def _peer(upstream: int, redis: Redis) -> dict[str, str]:
    return {
        "PEER_UPSTREAM": f"http://127.0.0.1:{upstream}",
        "PEER_TOKEN": TOKEN,
        "PEER_REDIS": redis.url,
        "PEER_KEY_SHA256": hash_key(KEY),
    }


def free_port() -> int:
    """Return a port that nobody listens on."""
    with create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def await_port(port: int, patience_seconds: float = 30) -> None:
    """Wait until a server accepts connections. Raises after `patience_seconds`."""
    until = time.monotonic() + patience_seconds
    while True:
        try:
            create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def put_merchant(control: int, amount: str) -> None:
    """Let the upstream's merchant have eight assets of an amount."""
    rows = [
        {"assetId": asset, "asset": short, "assetName": name}
        | dict.fromkeys(("total", "free"), amount)
        | {"locked": "0"}
        for asset, (short, name, _) in ASSETS.items()
    ]
    put(control, f"/merchants/{MERCHANT}", json.dumps({"balances": rows, "canDeposit": True}).encode())


def put(port: int, path: str, body: bytes) -> None:
    """Send a PUT to the upstream's control."""
    with create_connection(("127.0.0.1", port)) as wire:
        wire.sendall(b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
        if b" 20" not in wire.recv(200):
            raise AssertionError("the upstream did not take the merchant")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

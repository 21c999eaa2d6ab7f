"""`tallygate demo`: the simulated upstream, an embedded Valkey and the gateway, in one command."""

import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from typing import Final

from app.access.callers import hash_key, make_key
from app.cli.key import format_client
from app.cli.serve import serve
from app.cli.standard_streams import print_output
from app.errors import StartError
from app.redis.embedded import EmbeddedValkey
from app.server.addresses import check_port
from app.settings.environment import PREFIX

_TEXT: Final = """\
Tallygate is at {url}, the simulated upstream at {upstream}. Ctrl-C ends both. Try:

  curl -H 'Authorization: Bearer {key}' {url}/v1/merchants/12345/balances
  curl -H 'Authorization: Bearer {key}' {url}/v1/portfolio
  curl -H 'X-BH-TOKEN: {key}' '{url}/v2/assets/account/assets?merchantId=12345'
  curl -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{"merchantIds":[12345]}}' {url}/v1/moved
  curl -N -H 'Authorization: Bearer {key}' '{url}/v1/watch?merchantId=all&within=60&format=text'

The last line shows balances as they change: one of them moves every ten seconds or so, and the
simulated upstream sends an event. The line before it reports a move.
The paths are explained at {url}/docs.
"""

_KEPT: Final = PREFIX + "CORS_ORIGINS"  # so that somebody who writes a page can try it against the demo


def demo(port: int, upstream_port: int) -> None:
    """Serve made-up balances until SIGINT or SIGTERM. Raises `StartError`."""
    check_port("127.0.0.1", port)
    with ExitStack() as stack:
        token = secrets.token_urlsafe(32)
        valkey = stack.enter_context(EmbeddedValkey())
        event_keys = valkey.folder / "event_keys"
        events_url = f"http://127.0.0.1:{port}/v1/upstream/events"
        upstream = _start_upstream(
            stack, upstream_port, token, [f"--events-url={events_url}", f"--event-keys-file={event_keys}"]
        )
        key = make_key()
        clients = valkey.folder / "clients.toml"
        clients.write_text(format_client("demo", hash_key(key), "all", portfolio=True) + "moves = true\n")
        ours = {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "UPSTREAM_URL": upstream,
            "UPSTREAM_TOKEN": token,
            "UPSTREAM_EVENT_KEYS_FILE": str(event_keys),
            "UPSTREAM_RATE": "200",  # enough to have all balances after a moment
            "REDIS_URL": valkey.url,
            "CLIENTS_FILE": str(clients),
            "LOG_FORMAT": "console",
            "DRAIN_SECONDS": "0",
        }
        for name in [name for name in os.environ if name.startswith(PREFIX) and name != _KEPT]:
            del os.environ[name]
        os.environ.update({PREFIX + name: value for name, value in ours.items()})
        print_output(_TEXT.format(url=f"http://127.0.0.1:{port}", upstream=upstream, key=key))
        serve()


def _start_upstream(stack: ExitStack, port: int, token: str, events: list[str]) -> str:
    """Start the simulated upstream and return its URL. It ends when its standard input is closed."""
    process = stack.enter_context(
        subprocess.Popen(  # noqa: S603  # our own program
            [
                sys.executable,
                "-m",
                "sandbox",
                "--scenario=document",
                f"--port={port}",
                "--control-port=0",
                "--stop-on-eof",
                "--moves-per-second=0.1",
                *events,
            ],
            env={**os.environ, "SANDBOX_TOKEN": token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    )
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both were asked for")
    ready = process.stdout.readline()
    if not ready:
        raise StartError("The simulated upstream did not start. Choose another --upstream-port.")
    return str(json.loads(ready)["url"])

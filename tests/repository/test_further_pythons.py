"""`make test-pythons`: which outage of a mirror fails it, and which one it only names."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.manifests import ROOT

AWAY = "exit 100"
WITHOUT_WHEELS = 'for one; do case $one in --customize-hook=touch*) eval "${one#*=}" ;; esac; done; exit 1'
"""An `mmdebstrap` that has the packages, and then fails in pip."""

MISSING = "exit 127"


@pytest.mark.parametrize(
    ("mmdebstrap", "python", "tests", "status", "last"),
    [
        (AWAY, "exit 0", "exit 0", 0, "NOT TESTED: python3.14: Debian's forky, which is not released, "),
        (WITHOUT_WHEELS, "exit 0", "exit 0", 1, ""),
        (AWAY, MISSING, "exit 0", 75, ""),
        (AWAY, "exit 0", "exit 3", 3, ""),
    ],
    ids=["unreleased suite away", "a wheel missing", "released suite away", "tests fail"],
)
def test_only_an_unreleased_suite_may_be_away(
    mmdebstrap: str, python: str, tests: str, status: int, last: str, tmp_path: Path
) -> None:
    programs = {"mmdebstrap": mmdebstrap, "python3.13": python, "python3.14": MISSING, "id": "echo 0"}
    programs |= {"apt-get": "exit 0", "apt-config": "exit 0", "own": "echo 3.11"}
    for name, program in programs.items():
        _write(tmp_path / name, program)
    place = tmp_path / "build/python3.13"
    _write(place / "bin/pytest", tests)
    (place / "ready").touch()
    done = subprocess.run(
        [ROOT / "tests/pythons/each.sh", tmp_path / "own", tmp_path / "build"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert (done.stderr.splitlines() or [""])[-1].startswith(last)
    assert bool(last) == ("NOT TESTED" in done.stderr)


def _write(place: Path, program: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{program}\n")
    place.chmod(0o755)

"""Libraries whose private names we use have an upper bound, named where these names are, and the locked version is within."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PLACES = {"redis": "app/redis/pool.py"}


@pytest.mark.parametrize("name", PLACES)
def test_a_library_whose_inside_is_used_is_bounded(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {one.name: one.specifier for one in map(Requirement, project["dependencies"])}[name]
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    (locked,) = (line.split()[0] for line in lines if line.startswith(f"{name}=="))
    lower, upper = sorted(str(bounds).split(","), reverse=True)
    assert upper.startswith("<")
    assert locked.partition("==")[2] in bounds
    assert f"`{name}{lower},{upper}`" in (ROOT / PLACES[name]).read_text()

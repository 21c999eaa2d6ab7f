"""The examples of docs/api.md, run as they stand, answer what they say."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.manifests import ROOT
from tests.support.service import KEYS, Service

MASKED = {"asOf", "directoryAsOf", "oldestAsOf", "newestAsOf", "requestId", "version", "next", "epoch", "keptFrom"}
"""What differs from run to run."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def examples() -> Iterator[tuple[str, str]]:
    """Give each command of the page with the answer below it."""
    page = (ROOT / "docs/api.md").read_text()
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        yield from re.findall(r"^(\$ .*)\n((?:(?!\$ ).*\n)+)", block, re.MULTILINE)


def masked(answer: Any) -> Any:
    """Give an answer without what differs from run to run, which has to be there all the same."""
    match answer:
        case dict():
            return {name: "…" if name in MASKED else masked(value) for name, value in answer.items()}
        case list():
            return [masked(value) for value in answer]
        case _:
            return answer


def assert_alike(given: str, documented: str) -> None:
    """Compare what is JSON by its values and the order of its names, and a table by its lines."""
    if documented.startswith("{"):
        assert masked(json.loads(given)) == masked(json.loads(documented))
        assert list(json.loads(given)) == list(json.loads(documented))
    else:
        assert [TIME.sub("…", line) for line in given.splitlines()] == [
            TIME.sub("…", line) for line in documented.splitlines()
        ]


@pytest.mark.parametrize(("command", "answer"), list(examples()))
async def test_an_example_answers_what_the_page_says(service: Service, command: str, answer: str) -> None:
    words = shlex.split(command.removeprefix("$ ").replace("$URL", "").replace("$KEY", KEYS["all"]))
    assert words[0] == "curl"
    headers = [words[number + 1].split(": ", 1) for number, word in enumerate(words) if word == "-H"]
    given = await service.anonymous.get(words[-1], headers=dict(headers))
    assert_alike(given.text, answer)

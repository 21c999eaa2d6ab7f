"""The examples of docs/api.md, run as they stand, answer what they say."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import ASGITransport

from tests.support.manifests import ROOT
from tests.support.service import KEYS, Service
from tests.support.streams import PATIENCE_SECONDS, open_stream

MASKED = {"asOf", "directoryAsOf", "oldestAsOf", "newestAsOf", "requestId", "version", "next", "epoch", "keptFrom"} | {
    "id",
    "endsAt",
    "sequence",
}
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
    if documented.startswith('{"event"'):
        told, wanted = ([json.loads(line) for line in text.splitlines()] for text in (given, documented))
        assert masked(told) == masked(wanted)
        assert [line.split('"data"')[0][:20] for line in given.splitlines()] == [
            line.split('"data"')[0][:20] for line in documented.splitlines()
        ]
    elif documented.startswith("{"):
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
    if words[-1].startswith("/v1/watch"):
        given = await _read_lines(service, words[-1], headers, len(answer.splitlines()))
    else:
        given = (await service.anonymous.get(words[-1], headers=dict(headers))).text
    assert_alike(given, answer)


async def _read_lines(service: Service, target: str, headers: list[list[str]], count: int) -> str:
    """Give the first lines of a stream."""
    transport = service.anonymous._transport
    assert isinstance(transport, ASGITransport)
    sent = tuple((name.lower().encode(), value.encode()) for name, value in headers)
    async with open_stream(transport.app, target, sent) as reader:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while reader.text.count("\n") < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return reader.text

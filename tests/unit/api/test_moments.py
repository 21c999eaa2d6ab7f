"""Moments in queries: what RFC 3339 allows is read, and nothing that it forbids."""

import pytest

from app.api.requests.moments import read_moment
from app.errors import InvalidRequest

MOMENT = 1_795_626_000_780


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25T17:00:00.780Z",
        "2026-11-25t17:00:00.78z",
        "2026-11-25T17:00:00.780999Z",
        "2026-11-25T17:00:00.780999999Z",
        "2026-11-25T22:30:00.780+05:30",
        "2026-11-24T17:01:00.780-23:59",
    ],
)
def test_a_moment_is_read_in_every_form_that_clocks_of_programs_write(text: str) -> None:
    assert read_moment("at", text) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1795626000",
        "2026-11-25",
        "2026-11-25T17:00Z",
        "2026-11-25T17:00:00",
        "2026-11-25T17:00:00.Z",
        "2026-11-25T17:00:00,5Z",
        "2026-11-25T17:00:00.7809999999Z",
        "2026-11-25T17:00:00+0530",
        "2026-11-25T17:00:00+00:60",
        "2026-11-25T17:00:00+24:00",
        "2026-11-25T17:00:60Z",
        "2026-02-30T17:00:00Z",
        "20261125T170000Z",
        "\uff12026-11-25T17:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_a_moment_of_another_form_or_before_1970_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="at wants a time like"):
        read_moment("at", text)


def test_an_offset_whose_plus_became_a_space_is_explained() -> None:
    with pytest.raises(InvalidRequest, match="%2B"):
        read_moment("from", "2026-11-25T22:30:00 05:30")

"""Which format a request prefers."""

import pytest

from app.api.requests.formats import Format, choose_format


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, Format.JSON),
        ("", Format.JSON),
        ("*/*", Format.JSON),
        ("application/json", Format.JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.JSON),
        ("text/csv", Format.CSV),
        ("TEXT/CSV", Format.CSV),
        ("text/csv; header=present", Format.CSV),
        ("text/csv;header=present;q=0.3, text/plain;q=0.2", Format.CSV),
        ("text/csv;q=0.3;x=1, text/plain;q=0.2", Format.CSV),
        ("text/plain", Format.TEXT),
        ("text/*", Format.TEXT),
        ("text/*;q=0.5, text/csv;q=0.9", Format.CSV),
        ("text/*, text/plain;q=0.5", Format.CSV),
        ("application/json;q=0.4, text/csv;q=0.5", Format.CSV),
        ("application/json;q=0.5, text/csv;q=0.5", Format.JSON),
        ("text/csv;q=0.001, application/json;q=0", Format.CSV),
        ("*/*, application/json;q=0", Format.TEXT),
        ("*/*;q=0.1, text/csv;q=0", Format.JSON),
    ],
)
def test_the_format_with_the_highest_weight_is_chosen(accept: str | None, chosen: Format) -> None:
    assert choose_format(accept) is chosen


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "application/json;q=0", "text/html"])
def test_where_none_of_ours_is_taken_it_is_json_all_the_same(accept: str) -> None:
    assert choose_format(accept) is Format.JSON


@pytest.mark.parametrize(
    "element", ["text/csv;q=2", "text/csv;q=x", "text/csv;q =0.5", "csv", "text/", ";;", "te xt/csv"]
)
def test_what_cannot_be_read_is_passed_over(element: str) -> None:
    assert choose_format(f"{element}, text/plain;q=0.1") is Format.TEXT

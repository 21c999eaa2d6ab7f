import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.rendering.conditional import matches
from app.api.requests.cache_control import parse_request_directives
from app.cache.freshness import ANY_STALENESS_MS, RequestDirectives
from app.errors import InvalidRequest


@pytest.mark.parametrize(
    ("header", "directives"),
    [
        ("", RequestDirectives(0)),
        ("max-age=5", RequestDirectives(0, max_age_ms=5000)),
        ('Max-Age="5"', RequestDirectives(0, max_age_ms=5000)),
        ("max-stale", RequestDirectives(0, max_stale_ms=ANY_STALENESS_MS)),
        ("max-stale=7 , min-fresh=2", RequestDirectives(0, max_stale_ms=7000, min_fresh_ms=2000)),
        ("no-cache, no-store, only-if-cached", RequestDirectives(0, no_cache=True, only_if_cached=True)),
        (", ,max-age=1,, ", RequestDirectives(0, max_age_ms=1000)),
        ('private="a, max-age=3", future=1, future=2', RequestDirectives(0)),
        ("max-age=99999999999999999999", RequestDirectives(0, max_age_ms=9_999_999_999_000)),
    ],
)
def test_a_header_is_read_as_the_rfc_has_it(header: str, directives: RequestDirectives) -> None:
    assert parse_request_directives(header, 0, 5000) == directives


@pytest.mark.parametrize(
    "header",
    [
        "max-age",
        "max-age=",
        "max-age=-1",
        "max-age=1.5",
        "max-age=\u0663",
        "max-age=5 6",
        "max-age=1, max-age=1",
        "=",
        "min-fresh=6",
        '"',
    ],
)
def test_what_cannot_be_read_or_never_met_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest, match="Cache-Control"):
        parse_request_directives(header, 0, 5000)


@given(st.text() | st.text(alphabet='max-age=stale5",; '))
def test_no_header_is_an_exception(header: str) -> None:
    try:
        parse_request_directives(header, 0, 5000)
    except InvalidRequest:
        return


@pytest.mark.parametrize(
    ("if_none_match", "matched"),
    [
        ('W/"a"', True),
        ('"a"', True),
        ('"b", W/"a"', True),
        ("*", True),
        ("", False),
        ('W/"b"', False),
        ("a", False),
        ('w/"a"', False),
    ],
)
def test_tags_are_compared_weakly(if_none_match: str, matched: bool) -> None:
    assert matches(if_none_match, 'W/"a"') is matched

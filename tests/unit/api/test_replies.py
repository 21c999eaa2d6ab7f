"""Finished answers, as they are sent."""

from app.api.replies import Reply


def test_an_answer_has_its_length_but_a_304_has_none() -> None:
    headers = [("ETag", 'W/"é"')]
    assert Reply.of(200, headers, b"ab").headers == [(b"etag", b'W/"\xe9"'), (b"content-length", b"2")]
    assert Reply.of(304, headers, b"").headers == [(b"etag", b'W/"\xe9"')]

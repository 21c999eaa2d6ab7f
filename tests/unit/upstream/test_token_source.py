import asyncio

import pytest
from structlog.testing import capture_logs

from app.errors import StartError, TallygateError, TokenRefused, Unreachable
from app.resilience.supervision import supervised
from app.secret import Secret
from app.upstream.token_source import FileTokenSource, Token, TokenSource, TokenState, probe_refused
from tests.support.virtual_time import monotonic


class _File:
    """A file that holds what it is told to."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> Secret:
        if not self.text:
            raise StartError("token is empty.")
        return Secret(self.text)


def _shown(tokens: TokenSource) -> str:
    assert tokens.current is not None
    return tokens.current.secret.reveal()


def _given() -> TokenSource:
    return TokenSource(Token(Secret("one")), monotonic=monotonic)


async def test_a_token_never_accepted_is_wrong_and_one_that_was_has_expired() -> None:
    tokens = _given()
    with capture_logs() as logs:
        assert "wrong" in tokens.mark_refused(tokens.current, TokenRefused("x")).detail
        tokens.mark_accepted(tokens.current)
        for _ in range(10):
            assert "expired" in tokens.mark_refused(tokens.current, TokenRefused("x")).detail
    assert [line["reason"] for line in logs] == ["wrong", "expired"]


async def test_a_refused_value_cannot_be_replaced_and_is_reported_until_it_is_accepted() -> None:
    tokens = _given()
    assert (tokens.state, tokens.refusal, tokens.seconds_left) == (TokenState.UNTRIED, None, None)
    refusal = tokens.mark_refused(tokens.current, TokenRefused("x"))
    assert not await tokens.renew()
    assert (tokens.state, tokens.refusal) == (TokenState.REFUSED, refusal)
    tokens.mark_accepted(tokens.current)
    assert (tokens.state, tokens.refusal) == (TokenState.ACCEPTED, None)


async def test_a_word_about_an_older_token_is_none_about_the_present_one() -> None:
    file = _File("one")
    tokens = FileTokenSource(Secret("one"), file.read, monotonic=monotonic)
    old, file.text = tokens.current, "two"
    assert await tokens.renew()
    tokens.mark_refused(old, TokenRefused("x"))
    assert tokens.state is TokenState.UNTRIED
    tokens.mark_accepted(old)
    assert tokens.state is TokenState.UNTRIED


async def test_a_changed_file_is_used_within_a_second() -> None:
    file = _File("one")
    tokens = FileTokenSource(Secret("one"), file.read, monotonic=monotonic)
    async with supervised(token=tokens.keep_current):
        await asyncio.sleep(10.3)
        file.text = "two"
        await asyncio.sleep(1)
        assert _shown(tokens) == "two"


async def test_a_refusal_reads_the_file_immediately() -> None:
    file = _File("one")
    tokens = FileTokenSource(Secret("one"), file.read, monotonic=monotonic)
    tokens.mark_refused(tokens.current, TokenRefused("x"))
    assert not await tokens.renew()
    file.text = "two"
    assert await tokens.renew()
    assert _shown(tokens) == "two"


async def test_a_file_that_cannot_be_used_leaves_the_last_good_token_and_is_logged_once() -> None:
    file = _File("one")
    tokens = FileTokenSource(Secret("one"), file.read, monotonic=monotonic)
    with capture_logs() as logs:
        async with supervised(token=tokens.keep_current):
            file.text = ""
            await asyncio.sleep(10)
            assert _shown(tokens) == "one"
            file.text = "one"
            await asyncio.sleep(10)
            file.text = ""
            await asyncio.sleep(10)
    assert [line["event"] for line in logs] == ["token.file_unusable"] * 2


@pytest.mark.parametrize("error", [None, Unreachable("x")])
async def test_a_refused_token_is_tried_again_now_and_then_and_an_accepted_one_is_not(
    error: TallygateError | None,
) -> None:
    tokens = _given()
    asked: list[float] = []

    async def ask() -> None:
        asked.append(monotonic())
        if error:
            raise error

    async with supervised(probe=lambda: probe_refused(tokens, ask, lambda: 0.5)):
        await asyncio.sleep(100)
        assert asked == []
        tokens.mark_refused(tokens.current, TokenRefused("x"))
        await asyncio.sleep(100)
    assert 3 <= len(asked) <= 6

import pytest

from app.access.callers import (
    MAX_CREDENTIAL_CHARACTERS,
    MAX_TOKEN_CALLERS,
    Caller,
    Callers,
    authorise,
    hash_key,
    make_key,
)
from app.balances.snapshots import AGGREGATE, AccountId
from app.errors import Forbidden, TooFast, Unauthenticated

WEB = Caller("web", hash_key("tg_web"), frozenset({AccountId("1"), AccountId("2")}))
BOOKS = Caller("books", hash_key("tg_books"), "all", portfolio=True, rate=4)


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _callers(clock: _Clock | None = None, workers: int = 1) -> Callers:
    return Callers([WEB, BOOKS], workers=workers, monotonic=clock or _Clock())


async def test_a_key_finds_its_caller() -> None:
    for key, caller in (("tg_web", WEB), ("tg_books", BOOKS)):
        assert _callers().find_known(key) is caller
        assert await _callers().identify(key) is caller


@pytest.mark.parametrize("key", [None, "", "tg_we", "tg_webb", hash_key("tg_web"), "\udcff", "x" * 100_000])
async def test_any_other_key_finds_none(key: str | None) -> None:
    assert _callers().find_known(key) is None
    with pytest.raises(Unauthenticated):
        await _callers().identify(key)


class _Verifier:
    """Takes any token."""

    def find_known(self, digest: bytes) -> Caller | None:
        return _guest(digest.hex())

    async def verify(self, text: str, digest: bytes) -> Caller:
        return _guest(text + digest.hex())


def _guest(subject: str, rate: float = 1) -> Caller:
    return Caller(f"kc/{subject}", "", frozenset(), rate=rate)


async def test_what_is_longer_than_any_credential_is_shown_to_nobody() -> None:
    callers = Callers([], workers=1, monotonic=_Clock(), judge=_Verifier())
    longest = "x" * MAX_CREDENTIAL_CHARACTERS
    assert callers.find_known(longest) is not None
    assert callers.find_known(longest + "x") is None
    with pytest.raises(Unauthenticated):
        await callers.identify(longest + "x")


def test_a_subject_stands_under_each_rate_that_its_tokens_give_it() -> None:
    callers, slow, fast = _callers(), _guest("both", 1), _guest("both", 5)
    callers.admit(slow)
    for _ in range(5):
        callers.admit(fast)
    for caller in (slow, fast):
        with pytest.raises(TooFast):
            callers.admit(caller)


def test_of_any_number_of_subjects_those_that_came_last_are_kept() -> None:
    callers = _callers()
    guests = [_guest(str(number)) for number in range(MAX_TOKEN_CALLERS + 1)]
    for guest in guests:
        callers.admit(guest)
    for guest in guests[1:]:
        with pytest.raises(TooFast):
            callers.admit(guest)
    callers.admit(guests[0])


@pytest.mark.parametrize(
    ("caller", "key", "allowed"),
    [(WEB, "1", True), (WEB, "3", False), (WEB, AGGREGATE, False), (BOOKS, "3", True), (BOOKS, AGGREGATE, True)],
)
def test_a_caller_reads_what_it_was_given(caller: Caller, key: str, allowed: bool) -> None:
    assert caller.may_read(AccountId(key)) is allowed
    if not allowed:
        with pytest.raises(Forbidden):
            authorise(caller, AccountId(key))


def test_all_merchants_do_not_include_the_portfolio() -> None:
    assert not Caller("x", "", "all").may_read(AGGREGATE)


def test_a_rate_is_kept_and_shared_between_workers() -> None:
    clock = _Clock()
    callers = _callers(clock, workers=2)
    for _ in range(2):
        callers.admit(BOOKS)
    with pytest.raises(TooFast) as caught:
        callers.admit(BOOKS)
    assert caught.value.retry_after_seconds == 0.5
    clock.now += 0.5
    callers.admit(BOOKS)


def test_a_caller_without_a_rate_is_never_too_fast() -> None:
    callers = _callers()
    for _ in range(1000):
        callers.admit(WEB)


def test_keys_are_long_and_all_different() -> None:
    keys = {make_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {46}

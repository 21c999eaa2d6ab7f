"""Boards: what is shown of an account, to whom that is news, and how often it is encoded."""

from app.accounts import AccountResult, Available, Unavailable
from app.api.streams.events import encode_part
from app.balances.snapshots import AccountId, Entry, Row, Snapshot
from app.errors import TallygateError, TokenRefused, Unreachable
from app.watch.board import Board
from app.watch.judgement import Limits
from app.watch.news import AccountNews

ONE = AccountId("1")
LIMITS = Limits(fresh_ms=20_000, refused_ms=5_000, stale_ms=600_000)


class _World:
    """A board of one account whose time and memory tests set. `marks` counts what its watcher is told."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000
        self.memory: Entry | None = None
        self.refused: TallygateError | None = None
        self.encoded: list[AccountResult] = []
        self.marks = 0
        self.news = AccountNews()
        self.board = Board(self.news, self, lambda: LIMITS, lambda snapshot: snapshot.balances, self._encode)

    def now_ms(self) -> int:
        return self.now

    def peek(self, _: AccountId, /) -> Entry | None:
        return self.memory

    def refusal(self, _: AccountId, /) -> TallygateError | None:
        return None

    def token_refusal(self) -> TallygateError | None:
        return self.refused

    def mark(self, _: AccountId, /) -> None:
        self.marks += 1

    def put(self, total: str) -> None:
        """Let a look find this."""
        row = Row("USDT", "USDT", "USDT", total, total, "0")  # type: ignore[arg-type]
        self.memory = Snapshot(ONE, self.now, can_deposit=True, balances=(row,))
        self.news.on_put(self.memory)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1000)
        self.board.tick()

    @property
    def status(self) -> str:
        """What is shown."""
        match self.board.result(ONE):
            case None:
                return "nothing"
            case Unavailable(error=error):
                return type(error).__name__
            case Available(served=served):
                return "stale" if served.is_stale else "fresh"

    def _encode(self, result: AccountResult) -> bytes:
        self.encoded.append(result)
        return encode_part(result, None)


class _Watcher:
    def mark(self, _: AccountId, /) -> None:
        """Take note."""


def test_an_event_to_250_watchers_is_encoded_once() -> None:
    world = _World()
    watchers = [_Watcher() for _ in range(250)]
    for watcher in watchers:
        world.board.add(watcher, [ONE])
    for number in range(3):
        world.put(str(number))
        assert len({id(world.board.text(ONE)) for _ in watchers}) == 1
        assert len(world.encoded) == number + 1


def test_what_nobody_reads_is_never_encoded() -> None:
    world = _World()
    world.board.add(world, [ONE])
    for number in range(10):
        world.put(str(number))
    assert (world.marks, world.encoded) == (10, [])


def test_equal_content_is_no_news_but_the_next_reader_gets_its_time() -> None:
    world = _World()
    world.board.add(world, [ONE])
    world.put("1")
    world.board.text(ONE)
    world.wait(10)
    world.put("1")
    assert world.marks == 1
    assert b"2001-09-09T01:46:50" in world.board.text(ONE)


def test_the_status_changes_when_time_says_so_and_only_then() -> None:
    world = _World()
    world.board.add(world, [ONE])
    world.put("1")
    seen = []
    for seconds in (19, 1, 0.001, 579.9, 0.1):
        world.wait(seconds)
        seen.append((world.status, world.marks))
    assert seen == [("fresh", 1), ("fresh", 1), ("stale", 2), ("stale", 2), ("TooOld", 3)]


def test_a_look_in_time_puts_the_change_of_status_off() -> None:
    world = _World()
    world.board.add(world, [ONE])
    for _ in range(20):
        world.put("1")
        world.wait(15)
    assert (world.status, world.marks) == ("fresh", 1)


def test_what_is_unknown_is_said_to_be_after_five_seconds_and_once() -> None:
    world = _World()
    world.board.add(world, [ONE])
    world.wait(4.9)
    assert (world.status, world.marks) == ("nothing", 0)
    world.wait(0.1)
    world.wait(60)
    assert (world.status, world.marks) == ("NotKnownYet", 1)
    world.put("1")
    assert (world.status, world.marks) == ("fresh", 2)


def test_a_failure_is_shown_only_where_no_entry_covers_it() -> None:
    world = _World()
    world.board.add(world, [ONE])
    world.news.on_failure(ONE, Unreachable("It is away."))
    assert (world.status, world.marks) == ("Unreachable", 1)
    world.put("1")
    world.news.on_failure(ONE, Unreachable("It is away."))
    assert (world.status, world.marks) == ("fresh", 2)


def test_a_refused_token_shows_until_it_is_taken_again() -> None:
    world = _World()
    world.board.add(world, [ONE])
    world.put("1")
    world.wait(6)
    world.refused = TokenRefused("No.")
    world.board.tick()
    assert (world.status, world.marks) == ("TokenRefused", 2)
    world.refused = None
    world.board.tick()
    assert (world.status, world.marks) == ("fresh", 3)


def test_a_withdrawn_entry_marks_nobody_and_the_next_one_is_shown() -> None:
    world = _World()
    world.board.add(world, [ONE])
    world.put("1")
    world.memory = None
    world.news.on_drop(ONE)
    assert (world.status, world.marks) == ("nothing", 1)
    world.put("1")
    assert (world.status, world.marks) == ("fresh", 2)


def test_what_is_watched_no_longer_is_dropped_when_the_last_watcher_leaves() -> None:
    world = _World()
    world.board.add(world, [ONE])
    world.board.add(world, [ONE])
    world.board.remove(world, [ONE])
    world.put("1")
    assert (len(world.board), world.marks) == (1, 1)
    world.board.remove(world, [ONE])
    world.put("2")
    world.wait(1000)
    assert (len(world.board), world.marks) == (0, 1)

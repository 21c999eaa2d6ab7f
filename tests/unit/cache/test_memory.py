from app.balances.snapshots import Absence, AccountId, Entry
from app.cache.memory import MemoryTier, size_bytes


def _entry(key: str, as_of: int = 1) -> Absence:
    return Absence(AccountId(key), as_of)


class _Hearing:
    """Writes down what memory tells."""

    def __init__(self) -> None:
        self.told: list[Entry | AccountId] = []
        self.on_put = self.on_drop = self.told.append


def test_the_least_recently_used_goes_first() -> None:
    memory = MemoryTier(2, 10**9)
    memory.put(_entry("a"))
    memory.put(_entry("b"))
    memory.get(AccountId("a"))
    memory.put(_entry("c"))
    assert [memory.get(AccountId(key)) is not None for key in "abc"] == [True, False, True]
    assert len(memory) == 2


def test_an_older_or_equal_entry_never_replaces_a_newer_one() -> None:
    memory = MemoryTier(2, 10**9)
    newest = _entry("a", 5)
    assert memory.put(newest) is newest
    assert memory.put(_entry("a", 4)) is newest
    assert memory.put(_entry("a", 5)) is newest
    assert memory.get(AccountId("a")) is newest


def test_what_is_forgotten_makes_room_for_an_older_one() -> None:
    hearing = _Hearing()
    memory = MemoryTier(2, 10**9, hearing)
    memory.put(_entry("a", 5))
    memory.forget(AccountId("a"))
    memory.forget(AccountId("b"))
    assert (memory.peek(AccountId("a")), len(memory), memory.bytes) == (None, 0, 0)
    assert hearing.told == [_entry("a", 5), "a"]
    older = _entry("a", 4)
    assert memory.put(older) is older


def test_bytes_are_bounded_too() -> None:
    memory = MemoryTier(100, 3 * size_bytes(_entry("a")))
    for key in "abcde":
        memory.put(_entry(key))
    assert [memory.get(AccountId(key)) is not None for key in "abcde"] == [False, False, True, True, True]
    assert memory.bytes == 3 * size_bytes(_entry("a"))


def test_what_is_distrusted_stands_aside_until_it_is_put_again() -> None:
    memory = MemoryTier(2, 10**9)
    entry = memory.put(_entry("a", 5))
    memory.distrust()
    assert (memory.get(AccountId("a")), memory.peek(AccountId("a"))) == (None, entry)
    assert memory.put(_entry("a", 4)) is entry
    assert memory.get(AccountId("a")) is entry

from app.balances.snapshots import Absence, AccountId, Entry
from app.cache.memory import MemoryTier, size_bytes


def _entry(account_id: str, as_of: int = 1) -> Absence:
    return Absence(AccountId(account_id), as_of)


class _Listener:
    """Records the changes of memory."""

    def __init__(self) -> None:
        self.changes: list[Entry | AccountId] = []
        self.on_put = self.on_drop = self.changes.append


def test_the_least_recently_used_goes_first() -> None:
    memory = MemoryTier(2, 10**9)
    memory.put(_entry("a"))
    memory.put(_entry("b"))
    memory.get(AccountId("a"))
    memory.put(_entry("c"))
    assert [memory.get(AccountId(account_id)) is not None for account_id in "abc"] == [True, False, True]
    assert len(memory) == 2


def test_what_is_used_again_does_not_go_first() -> None:
    memory = MemoryTier(2, 10**9)
    used = memory.put(_entry("a"))
    memory.put(_entry("b"))
    assert memory.use(used)
    assert not memory.use(_entry("a"))
    memory.put(_entry("c"))
    assert [memory.is_current(used), memory.peek(AccountId("b"))] == [True, None]


def test_an_older_or_equal_entry_never_replaces_a_newer_one() -> None:
    memory = MemoryTier(2, 10**9)
    newest = _entry("a", 5)
    assert memory.put(newest) is newest
    assert memory.put(_entry("a", 4)) is newest
    assert memory.put(_entry("a", 5)) is newest
    assert memory.get(AccountId("a")) is newest


def test_what_is_forgotten_makes_room_for_an_older_one() -> None:
    listener = _Listener()
    memory = MemoryTier(2, 10**9, listener)
    memory.put(_entry("a", 5))
    memory.forget(AccountId("a"))
    memory.forget(AccountId("b"))
    assert (memory.peek(AccountId("a")), len(memory), memory.bytes) == (None, 0, 0)
    assert listener.changes == [_entry("a", 5), "a"]
    older = _entry("a", 4)
    assert memory.put(older) is older


def test_bytes_are_bounded_too() -> None:
    memory = MemoryTier(100, 3 * size_bytes(_entry("a")))
    for account_id in "abcde":
        memory.put(_entry(account_id))
    assert [memory.get(AccountId(account_id)) is not None for account_id in "abcde"] == [False, False, True, True, True]
    assert memory.bytes == 3 * size_bytes(_entry("a"))


def test_a_distrusted_entry_is_not_found_until_it_is_put_again() -> None:
    memory = MemoryTier(2, 10**9)
    entry = memory.put(_entry("a", 5))
    memory.distrust()
    assert (memory.get(AccountId("a")), memory.peek(AccountId("a"))) == (None, entry)
    assert memory.put(_entry("a", 4)) is entry
    assert memory.get(AccountId("a")) is entry

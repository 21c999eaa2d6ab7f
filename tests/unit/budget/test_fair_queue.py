"""Who is next: as if all who wait were looked at anew each time, but without looking at them."""

from random import Random

import pytest

from app.budget.fair_queue import FairQueue, QueueKey, Waiter


class _Plain:
    """The law in its plainest form."""

    def __init__(self) -> None:
        self.waiting: list[Waiter] = []
        self._granted: dict[str, int] = {}
        self._count = 0

    def grant(self, count: int) -> list[Waiter]:
        granted: list[Waiter] = []
        while self.waiting and len(granted) < count:
            chosen = min(
                self.waiting, key=lambda one: (one.queue_key[0], self._granted.get(one.queue_key[1], 0), one.number)
            )
            self._count += 1
            self._granted[chosen.queue_key[1]] = self._count
            self.waiting.remove(chosen)
            granted.append(chosen)
        return granted

    def forget(self) -> None:
        self._granted.clear()


def _draw_queue_key(random: Random) -> QueueKey:
    return random.randrange(3), random.choice("abcd")


@pytest.mark.parametrize("seed", range(40))
async def test_the_queue_grants_like_a_search_of_all_waiters(seed: int) -> None:
    random = Random(seed)
    queue, plain = FairQueue(), _Plain()
    for _ in range(300):
        match random.randrange(8):
            case 0 | 1 | 2:
                plain.waiting.append(queue.join(_draw_queue_key(random)))
            case 3 if plain.waiting:
                moving, queue_key = random.choice(plain.waiting), _draw_queue_key(random)
                queue.move(moving, queue_key)
                assert moving.queue_key == queue_key
            case 4 if plain.waiting:
                leaving = random.choice(plain.waiting)
                plain.waiting.remove(leaving)
                assert queue.leave(leaving)
                assert not queue.leave(leaving)
            case 5 if plain.waiting:
                giving_up = random.choice(plain.waiting)
                plain.waiting.remove(giving_up)
                giving_up.give_up()
            case 6:
                limit = random.randrange(1, 4)
                live = [one.queue_key[0] for one in plain.waiting]
                urgency, count = queue.peek_urgency(limit)
                assert count == min(limit, live.count(min(live, default=0)))
                assert not count or urgency == min(live)
            case _:
                count = random.randrange(4)
                expected = plain.grant(count)
                assert queue.grant(count) == len(expected)
                assert all(one.is_granted for one in expected)
                if not len(queue):  # nobody is there whom it would be fair to remember
                    plain.forget()
        assert not any(one.is_granted for one in plain.waiting)


async def test_a_waiter_that_gave_up_or_was_cancelled_is_neither_counted_nor_granted() -> None:
    queue = FairQueue()
    given_up, cancelled, waiting = (queue.join((0, "a")) for _ in range(3))
    given_up.give_up()
    cancelled.permit.cancel()
    assert queue.peek_urgency(10) == (0, 1)
    assert queue.grant(10) == 1
    assert [one.is_granted for one in (given_up, cancelled, waiting)] == [False, False, True]
    assert not any(map(queue.leave, (given_up, cancelled, waiting)))
    assert queue.grant(10) == len(queue) == 0


async def test_giving_up_does_not_revoke_a_granted_permit() -> None:
    queue = FairQueue()
    waiter = queue.join((0, "a"))
    queue.grant(1)
    waiter.give_up()
    assert waiter.is_granted


async def test_a_moved_waiter_comes_before_later_ones() -> None:
    queue = FairQueue()
    moving, later = queue.join((1, "a")), queue.join((0, "a"))
    queue.move(moving, (0, "a"))
    queue.grant(1)
    assert (moving.is_granted, later.is_granted) == (True, False)


async def test_a_granted_waiter_is_not_queued_again() -> None:
    queue = FairQueue()
    waiter = queue.join((1, "a"))
    queue.grant(1)
    queue.move(waiter, (0, "a"))
    assert len(queue) == 0


async def test_before_somebody_go_their_own_and_of_each_other_caller_as_many_and_one() -> None:
    queue = FairQueue()
    for queue_key, count in (((0, "greedy"), 100), ((0, "modest"), 2), ((1, "modest"), 1), ((2, "lazy"), 50)):
        for _ in range(count):
            queue.join(queue_key)
    assert queue.count_ahead((0, "modest")) == (2, 3)
    assert queue.count_ahead((1, "modest")) == (3, 4)
    assert queue.count_ahead((0, "greedy")) == (100, 2)
    assert queue.count_ahead((2, "new")) == (0, 3)
    assert len(queue) == 153

"""Who is next: as if all who wait were looked at anew each time, but without looking at them."""

from random import Random

import pytest

from app.budget.fair_queue import FairQueue, QueueKey, Waiter


class _Plain:
    """The law in its plainest form."""

    def __init__(self) -> None:
        self.waiting: list[Waiter] = []
        self._served: dict[str, int] = {}
        self._count = 0

    def serve(self, count: int) -> list[Waiter]:
        served: list[Waiter] = []
        while self.waiting and len(served) < count:
            chosen = min(
                self.waiting, key=lambda one: (one.queue_key[0], self._served.get(one.queue_key[1], 0), one.number)
            )
            self._count += 1
            self._served[chosen.queue_key[1]] = self._count
            self.waiting.remove(chosen)
            served.append(chosen)
        return served

    def forget(self) -> None:
        self._served.clear()


def _draw_place(random: Random) -> QueueKey:
    return random.randrange(3), random.choice("abcd")


@pytest.mark.parametrize("seed", range(40))
async def test_lines_serve_whom_a_look_at_all_would_choose(seed: int) -> None:
    random = Random(seed)
    lines, plain = FairQueue(), _Plain()
    for _ in range(300):
        match random.randrange(8):
            case 0 | 1 | 2:
                plain.waiting.append(lines.join(_draw_place(random)))
            case 3 if plain.waiting:
                moving, place = random.choice(plain.waiting), _draw_place(random)
                lines.move(moving, place)
                assert moving.queue_key == place
            case 4 if plain.waiting:
                leaving = random.choice(plain.waiting)
                plain.waiting.remove(leaving)
                assert lines.leave(leaving)
                assert not lines.leave(leaving)
            case 5 if plain.waiting:
                giving_up = random.choice(plain.waiting)
                plain.waiting.remove(giving_up)
                giving_up.give_up()
            case 6:
                most = random.randrange(1, 4)
                live = [one.queue_key[0] for one in plain.waiting]
                urgency, count = lines.peek_urgency(most)
                assert count == min(most, live.count(min(live, default=0)))
                assert not count or urgency == min(live)
            case _:
                count = random.randrange(4)
                expected = plain.serve(count)
                assert lines.grant(count) == len(expected)
                assert all(one.is_granted for one in expected)
                if not len(lines):  # nobody is there whom it would be fair to remember
                    plain.forget()
        assert not any(one.is_granted for one in plain.waiting)


async def test_who_has_given_up_or_was_cancelled_is_neither_counted_nor_served() -> None:
    lines = FairQueue()
    given_up, cancelled, waiting = (lines.join((0, "a")) for _ in range(3))
    given_up.give_up()
    cancelled.permit.cancel()
    assert lines.peek_urgency(10) == (0, 1)
    assert lines.grant(10) == 1
    assert [one.is_granted for one in (given_up, cancelled, waiting)] == [False, False, True]
    assert not any(map(lines.leave, (given_up, cancelled, waiting)))
    assert lines.grant(10) == len(lines) == 0


async def test_giving_up_does_not_take_back_a_turn_that_came() -> None:
    lines = FairQueue()
    waiter = lines.join((0, "a"))
    lines.grant(1)
    waiter.give_up()
    assert waiter.is_granted


async def test_who_moves_stands_before_those_who_came_later() -> None:
    lines = FairQueue()
    moving, later = lines.join((1, "a")), lines.join((0, "a"))
    lines.move(moving, (0, "a"))
    lines.grant(1)
    assert (moving.is_granted, later.is_granted) == (True, False)


async def test_who_was_served_is_not_moved_back_into_a_line() -> None:
    lines = FairQueue()
    waiter = lines.join((1, "a"))
    lines.grant(1)
    lines.move(waiter, (0, "a"))
    assert len(lines) == 0


async def test_before_somebody_go_their_own_and_of_each_other_caller_as_many_and_one() -> None:
    lines = FairQueue()
    for place, count in (((0, "greedy"), 100), ((0, "modest"), 2), ((1, "modest"), 1), ((2, "lazy"), 50)):
        for _ in range(count):
            lines.join(place)
    assert lines.count_ahead((0, "modest")) == (2, 3)
    assert lines.count_ahead((1, "modest")) == (3, 4)
    assert lines.count_ahead((0, "greedy")) == (100, 2)
    assert lines.count_ahead((2, "new")) == (0, 3)
    assert len(lines) == 153

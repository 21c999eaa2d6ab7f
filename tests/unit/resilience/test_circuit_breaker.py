from app.resilience.circuit_breaker import CircuitBreaker, State
from app.runtime import Runtime


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _breaker(clock: _Clock, random: float = 0.0) -> CircuitBreaker:
    runtime = Runtime(monotonic=clock, random=lambda: random)
    return CircuitBreaker(runtime, threshold=3, first_pause_seconds=1, longest_pause_seconds=5)


def _fail(breaker: CircuitBreaker, times: int) -> list[bool]:
    return [breaker.record_failure() for _ in range(times)]


def test_it_opens_at_the_threshold_and_says_so_once() -> None:
    breaker = _breaker(_Clock())
    assert _fail(breaker, 3) == [False, False, True]
    assert breaker.try_enter() == 1
    assert _fail(breaker, 2) == [False, False]


def test_a_success_in_between_keeps_it_closed() -> None:
    breaker = _breaker(_Clock())
    _fail(breaker, 2)
    assert breaker.record_success() is False
    _fail(breaker, 2)
    assert breaker.try_enter() == 0


def test_failures_of_calls_that_others_outlived_do_not_open_it() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    clock.now += 1
    breaker.record_success()
    clock.now += 4
    assert not any(breaker.record_failure(began=100.0) for _ in range(10))
    assert [breaker.record_failure(began=102.0) for _ in range(3)] == [False, False, True]


def test_a_few_failures_do_not_open_it_while_more_are_to_come() -> None:
    breaker = _breaker(_Clock())
    assert [breaker.record_failure(pending=9 - number) for number in range(6)] == [
        False,
        False,
        False,
        False,
        True,
        False,
    ]


def test_many_failures_open_it_however_many_are_to_come() -> None:
    breaker = _breaker(_Clock())
    assert [breaker.record_failure(pending=1000) for _ in range(30)].index(True) == 23


def test_after_the_pause_one_probe_goes_and_the_others_wait() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    _fail(breaker, 3)
    clock.now += 1
    assert breaker.try_enter() == 0
    assert breaker.try_enter() > 0


def test_a_probe_that_succeeds_closes_it_and_says_so() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    _fail(breaker, 3)
    clock.now += 1
    breaker.try_enter()
    assert breaker.record_success() is True
    assert breaker.try_enter() == breaker.try_enter() == 0


def test_each_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    _fail(breaker, 3)
    pauses = []
    for _ in range(5):
        pauses.append(breaker.try_enter())
        clock.now += pauses[-1]
        assert breaker.try_enter() == 0
        breaker.record_failure()
    assert pauses == [1, 2, 4, 5, 5]


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() -> None:
    breaker = _breaker(_Clock())
    _fail(breaker, 16)
    assert breaker.seconds_open() == 1


def test_jitter_shortens_a_pause_by_at_most_a_quarter() -> None:
    breaker = _breaker(_Clock(), random=1.0)
    _fail(breaker, 3)
    assert breaker.try_enter() == 0.75


def test_asking_for_the_open_seconds_starts_no_probe() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    _fail(breaker, 3)
    assert breaker.seconds_open() == 1
    clock.now += 1
    assert breaker.seconds_open() == breaker.seconds_open() == 0
    assert breaker.state is State.OPEN

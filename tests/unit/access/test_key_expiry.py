"""Expiry of keys: who is warned of, and when."""

from typing import Any

from structlog.testing import capture_logs

from app.access.callers import Caller, Callers, hash_key
from app.access.key_expiry import DAY_SECONDS, KeyExpiryWatcher
from app.access.validity import Validity

END = 100 * DAY_SECONDS * 1000


class _Clock:
    days_left = 50.0

    def __call__(self) -> int:
        return END - int(self.days_left * DAY_SECONDS * 1000)


def _caller(name: str, until: int | None) -> Caller:
    return Caller(name, hash_key(name), "all", validity=Validity() if until is None else Validity(until=until))


def _check(watcher: KeyExpiryWatcher) -> list[dict[str, Any]]:
    with capture_logs() as logs:
        watcher.check_once()
    return [{name: value for name, value in line.items() if name != "log_level"} for line in logs]


def test_an_end_is_logged_once_fourteen_days_before_once_one_day_before_and_when_it_is_there() -> None:
    clock = _Clock()
    callers = Callers([_caller("web", END), _caller("books", None)], workers=1, monotonic=lambda: 0.0, now=clock)
    watcher = KeyExpiryWatcher(callers.seconds_left)
    logged = []
    for clock.days_left in (15, 14, 13, 2, 1, 0.5, 0, -3):
        logged += _check(watcher)
    assert logged == [
        {"event": "key.expiring", "caller": "web", "seconds_left": 14 * DAY_SECONDS},
        {"event": "key.expiring", "caller": "web", "seconds_left": DAY_SECONDS},
        {"event": "key.expired", "caller": "web"},
    ]


def test_a_new_end_is_warned_of_again() -> None:
    clock = _Clock()
    callers = Callers([_caller("web", END)], workers=1, monotonic=lambda: 0.0, now=clock)
    watcher = KeyExpiryWatcher(callers.seconds_left)
    clock.days_left = 2
    assert len(_check(watcher)) == 1
    callers.replace_all([_caller("web", END + 30 * DAY_SECONDS * 1000)])
    assert _check(watcher) == []
    clock.days_left = -20
    assert len(_check(watcher)) == 1


def test_the_seconds_left_are_known_of_keys_that_end_and_never_negative() -> None:
    clock = _Clock()
    callers = Callers([_caller("web", END), _caller("books", None)], workers=1, monotonic=lambda: 0.0, now=clock)
    clock.days_left = 1
    assert callers.seconds_left() == {"web": DAY_SECONDS}
    clock.days_left = -1
    assert callers.seconds_left() == {"web": 0}

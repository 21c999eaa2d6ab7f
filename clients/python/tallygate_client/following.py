"""Following of the feed: where it goes on, what a program gets of it, and how long it waits. Pure."""

from collections.abc import Callable
from typing import Final

from tallygate_client.calls import Call, decode
from tallygate_client.live import Disconnected, FeedChanges, FeedEvent, FeedOptions, Gap, asked_seconds, may_pass
from tallygate_client.options import Merchants, write_merchants, write_params
from tallygate_client.past import Feed
from tallygate_client.problems import GoneError, TallygateError
from tallygate_client.sending import back_off

SPARE_SECONDS: Final = 15


class Following:
    """The state of a reader of the feed. `random` is in [0, 1)."""

    def __init__(self, merchant_ids: Merchants, options: FeedOptions, random: Callable[[], float]) -> None:
        self._params: Final = {"merchantId": write_merchants(merchant_ids), **write_params({**options, "after": None})}
        self._cursor = options.get("after")
        self._wait_seconds: Final = options.get("wait_seconds", 20)
        self._deadline_seconds: Final = options.get("deadline_seconds", SPARE_SECONDS)
        self._random: Final = random
        self._failures = 0

    def call(self) -> Call[Feed]:
        """Return the next question."""
        return Call(
            path="/v1/changes",
            read=lambda body, _: decode(body, Feed),
            params=self._params if self._cursor is None else {**self._params, "after": self._cursor},
            headers={"Prefer": f"wait={self._wait_seconds}"},
            repeats=False,
            deadline_seconds=self._deadline_seconds,
            wait_seconds=self._wait_seconds,
        )

    def take(self, page: Feed) -> list[FeedEvent]:
        """Take an answer, and return what the program gets of it."""
        self._failures = 0
        self._cursor = page.next
        events: list[FeedEvent] = [] if page.complete else [Gap("not-kept")]
        return [*events, FeedChanges(page.changes, page.next)] if page.changes else events

    def failed(self, error: TallygateError) -> Gap | Disconnected:
        """Take a failure. Raises it if another question cannot help."""
        if isinstance(error, GoneError) and self._cursor is not None:
            self._cursor = None
            return Gap(error.kind)
        if not may_pass(error):
            raise error
        pause = back_off(self._failures, self._random)
        self._failures += 1
        return Disconnected("failed", error, max(pause, asked_seconds(error)))

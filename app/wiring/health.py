"""Wiring of health: whether this process should get requests, what it says of that, and its heartbeat."""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import UNSET, json

from app.access.callers import Callers
from app.api.routes.service import Readiness
from app.redis.client import RedisClient
from app.resilience.draining import Drain
from app.resilience.supervision import Part, Task
from app.telemetry.exposition import Exposition
from app.telemetry.heartbeat import Heartbeat
from app.telemetry.samples import WorkerHealth
from app.upstream.token_source import TokenSource, TokenState


class Health(Part, frozen=True):
    """The health of this process, as `check` reports it and the heartbeat shares it with the others."""

    heartbeat: Heartbeat
    check: Callable[[], Readiness]

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Measure the event loop, and share metrics and health each second."""
        return {"heartbeat": self.heartbeat.run}

    async def look(self) -> Readiness:
        """Report readiness, for its page."""
        return self.check()


def build_health(
    tokens: TokenSource,
    redis_client: RedisClient,
    callers: Callers,
    drain: Drain,
    exposition: Exposition,
    monotonic: Callable[[], float],
) -> Health:
    """Build the health of this process, shared through `exposition` each second and as soon as it drains."""

    def check() -> Readiness:
        return Readiness(
            status=_readiness_status(tokens, drain),
            callers=len(callers),
            token=tokens.state,
            redis="available" if redis_client.available else "unavailable",
            token_seconds_left=UNSET if tokens.seconds_left is None else int(tokens.seconds_left),
            reason=tokens.refusal.detail if tokens.refusal else UNSET,
        )

    def share() -> None:
        readiness = check()
        exposition.share(WorkerHealth(monotonic(), readiness.status == "ready", json.encode(readiness)))

    drain.watch(share)
    return Health(Heartbeat(monotonic, share), check)


def _readiness_status(tokens: TokenSource, drain: Drain) -> Literal["ready", "not ready", "draining"]:
    if drain.is_on:
        return "draining"
    return "not ready" if tokens.state is TokenState.REFUSED else "ready"

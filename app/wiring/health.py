"""Wiring of health: whether this process should get requests, what it says of that, and its heartbeat."""

from typing import Final, Literal

from msgspec import UNSET, json

from app.access.callers import Callers
from app.api.routes.service import Readiness, ReadinessProbe
from app.redis.client import RedisClient
from app.resilience.draining import Drain
from app.resilience.supervision import Part
from app.runtime import Runtime
from app.telemetry.exposition import Exposition
from app.telemetry.heartbeat import Heartbeat
from app.telemetry.samples import WorkerHealth
from app.upstream.token_source import TokenSource, TokenState


class Health(Part, frozen=True):
    """The health of this process: `look` reports readiness, and the heartbeat shares it with the other processes."""

    look: ReadinessProbe


def build_health(
    tokens: TokenSource,
    redis_client: RedisClient,
    callers: Callers,
    drain: Drain,
    exposition: Exposition,
    runtime: Runtime,
) -> Health:
    """Build the health of this process, shared through `exposition` each second and as soon as it drains."""
    admission = _Admission(tokens)

    def look_now() -> Readiness:
        return Readiness(
            status=_readiness_status(admission, drain),
            callers=len(callers),
            token=tokens.state,
            redis="available" if redis_client.available else "unavailable",
            token_seconds_left=UNSET if tokens.seconds_left is None else int(tokens.seconds_left),
            reason=tokens.refusal.detail if tokens.refusal else UNSET,
        )

    async def look() -> Readiness:
        return look_now()

    def share() -> None:
        readiness = look_now()
        exposition.share(WorkerHealth(runtime.monotonic(), readiness.status == "ready", json.encode(readiness)))

    drain.watch(share)
    heartbeat = Heartbeat(runtime.monotonic, share)
    runtime.metrics.loop_lag.watch(heartbeat.lag_seconds)
    return Health(look, tasks={"heartbeat": heartbeat.run})


class _Admission:
    """Whether the upstream ever accepted a token of this process, as far as its state was looked at."""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens: Final = tokens
        self._was_accepted = False

    def is_refused(self) -> bool:
        """Return whether the token is refused, and none was ever accepted."""
        self._was_accepted |= self._tokens.state is TokenState.ACCEPTED
        return self._tokens.state is TokenState.REFUSED and not self._was_accepted


def _readiness_status(admission: _Admission, drain: Drain) -> Literal["ready", "not ready", "draining"]:
    """Judge readiness. A refused token concerns all replicas: those that served before go on and say why (decision 34)."""
    refused = admission.is_refused()
    if drain.is_on:
        return "draining"
    return "not ready" if refused else "ready"

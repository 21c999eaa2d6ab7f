"""Reconciliation jobs, which compare the aggregate with its merchants, one at a time in the fleet."""

import asyncio
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import UNSET, Meta, Struct, UnsetType

from app.balances.reconciliation import Finding, Survey, Verdict, needs_another_look, reconcile
from app.balances.snapshots import StoredAccountId, UnixMs
from app.decoding import Undecodable, decode_json
from app.errors import NoReconciliation, StoreUnavailable, TallygateError, UnknownReconciliation
from app.fleet.jobs import JobRecord, Jobs
from app.portfolio.surveys import Progress, Surveyor
from app.redis.client import RedisFailure
from app.runtime import Runtime
from app.telemetry.log_throttle import LogThrottle

_MOST_LOOKS: Final = 3
_RENEW_SECONDS: Final = 2.0
_TICK_SECONDS: Final = 15.0
_EVER: Final = 2**53
_OVERDUE_INTERVALS: Final = 3

_Count = Annotated[int, Meta(ge=0, le=2**53)]

log = structlog.get_logger()


class State(StrEnum):
    """How a job is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


class Reconciliation(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The record of a job. Times are Unix milliseconds; `detail` says why it failed."""

    id: str
    state: State
    started_at: UnixMs
    look: _Count = 0
    expected: _Count = 0
    read: _Count = 0
    missing: _Count = 0
    missing_merchants: tuple[StoredAccountId, ...] = ()
    finished_at: UnixMs | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    findings: tuple[Finding, ...] | UnsetType = UNSET

    @property
    def verdicts(self) -> Counter[Verdict]:
        """Count the assets by verdict."""
        return Counter(finding.verdict for finding in self.findings or ())


class Reconciler:
    """Start reconciliations, run those started here, and report on all.

    With `every_seconds` above 0, one starts so long after the start of the last one, at the first replica to notice.
    `last` is the last result that is known here, for the metrics.
    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        surveyor: Surveyor,
        every_seconds: float,
        make_id: Callable[[], str],
        runtime: Runtime,
    ) -> None:
        self._jobs: Final = jobs
        self._surveyor: Final = surveyor
        self._every_ms: Final = round(every_seconds * 1000)
        self._now_ms: Final = runtime.unix_ms
        self._make_id: Final = make_id
        self._random: Final = runtime.random
        self._started: Final[asyncio.Queue[Reconciliation]] = asyncio.Queue()
        self._born_ms: Final = runtime.unix_ms()
        self._unreadable: Final = LogThrottle()
        self.last: Reconciliation | None = None

    @property
    def is_overdue(self) -> bool:
        """Whether there is an interval, and no result became known here for three intervals."""
        last_ms = (self.last.finished_at if self.last else None) or self._born_ms
        return 0 < self._every_ms * _OVERDUE_INTERVALS < self._now_ms() - last_ms

    async def start(self) -> Reconciliation:
        """Start a reconciliation, or return the one that is running. Raises `StoreUnavailable`."""
        job_id = await self._start(last_began_by=_EVER)
        if job_id is None:
            raise _away()
        return await self.get(job_id)

    async def get(self, job_id: str) -> Reconciliation:
        """Return a reconciliation. Raises `UnknownReconciliation`, or `StoreUnavailable`."""
        record = self._read(await self._jobs.find(job_id))
        if record is None:
            raise UnknownReconciliation("There is no such reconciliation, or it is over for more than 30 days.")
        return record

    async def get_last(self) -> Reconciliation:
        """Return the last result. Raises `NoReconciliation` if there is none yet, or `StoreUnavailable`."""
        record = self._read(await self._jobs.last())
        if record is None:
            raise NoReconciliation("No reconciliation has come to a result yet: start one with POST.")
        return record

    async def run(self) -> None:
        """Run the jobs that are started here, and start those that are due, until cancelled."""
        while True:
            await self._start_if_due()
            try:
                async with asyncio.timeout(_TICK_SECONDS * (1 + self._random())):
                    job = await self._started.get()
            except TimeoutError:
                continue
            await self._run(job)

    async def _start_if_due(self) -> None:
        """Record the last result of any replica, and start the next job if it is due."""
        kept = await self._jobs.last()
        if not isinstance(kept, RedisFailure):
            self.last = self._read(kept)
        if self._every_ms:
            await self._start(last_began_by=self._now_ms() - self._every_ms)

    async def _start(self, *, last_began_by: int) -> str | None:
        """Start a job if none is running and the last began by then. Return the id of the running one."""
        job = Reconciliation(self._make_id(), State.RUNNING, self._now_ms())
        running = await self._jobs.start(job.id, _write(job), job.started_at, last_began_by)
        if isinstance(running, RedisFailure):
            return None
        if running == job.id:
            self._started.put_nowait(job)
        return running

    async def _run(self, job: Reconciliation) -> None:
        """Run sweeps while the lease is ours. If we die, the lease expires, and the job counts as lost."""
        log.info("reconciliation.started", id=job.id)
        progress = Progress()
        looking = asyncio.create_task(self._look(progress))
        try:
            while not (await asyncio.wait([looking], timeout=_RENEW_SECONDS))[0]:
                if await self._jobs.update(job.id, _write(_follow(job, progress))) is False:
                    log.warning("reconciliation.lost", id=job.id)
                    return
            await self._finish(_conclude(_follow(job, progress), looking, self._now_ms()))
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    async def _look(self, progress: Progress) -> tuple[Finding, ...]:
        looks: list[Survey] = []
        while not looks or (needs_another_look(looks) and len(looks) < _MOST_LOOKS):
            looks.append(await self._surveyor.survey(progress))
        return reconcile(looks)

    def _read(self, kept: JobRecord | RedisFailure) -> Reconciliation | None:
        """Decode a record; None if there is no readable one. A running job without a lease is lost."""
        if isinstance(kept, RedisFailure):
            raise _away()
        if kept.record is None:
            return None
        try:
            job = decode_json(kept.record, Reconciliation)
        except Undecodable as error:
            if self._unreadable.admits():
                log.warning("reconciliation.unreadable", reason=str(error), unwritten=self._unreadable.unwritten)
            return None
        if job.state is State.RUNNING and kept.leaseholder != job.id:
            return msgspec.structs.replace(job, state=State.LOST)
        return job

    async def _finish(self, job: Reconciliation) -> None:
        is_result = job.state is State.DONE
        kept = await self._jobs.finish(job.id, _write(job), result=is_result)
        while isinstance(kept, RedisFailure):
            await asyncio.sleep(_RENEW_SECONDS)
            kept = await self._jobs.finish(job.id, _write(job), result=is_result)
        if not kept:
            log.warning("reconciliation.lost", id=job.id)
            return
        if is_result:
            self.last = job
        counts = {verdict.value: count for verdict, count in job.verdicts.items()}
        if job.verdicts[Verdict.MISMATCH] or not is_result:
            log.warning("reconciliation.finished", id=job.id, state=job.state, missing=job.missing, **counts)
        else:
            log.info("reconciliation.finished", id=job.id, state=job.state, missing=job.missing, **counts)


def _follow(job: Reconciliation, progress: Progress) -> Reconciliation:
    return msgspec.structs.replace(job, **msgspec.structs.asdict(progress))


def _conclude(job: Reconciliation, looking: asyncio.Task[tuple[Finding, ...]], now: int) -> Reconciliation:
    """Return the final record of a job. Raises unexpected errors."""
    error = looking.exception()
    match error:
        case None:
            return msgspec.structs.replace(job, state=State.DONE, finished_at=now, findings=looking.result())
        case TallygateError():
            return msgspec.structs.replace(job, state=State.FAILED, finished_at=now, detail=error.detail)
        case _:
            log.error("reconciliation.crashed", id=job.id, exc_info=error)
            detail = "Something went wrong here."
            return msgspec.structs.replace(job, state=State.FAILED, finished_at=now, detail=detail)


def _write(job: Reconciliation) -> bytes:
    return msgspec.json.encode(job)


def _away() -> StoreUnavailable:
    return StoreUnavailable("Reconciliations are kept in Redis, and it is away.", retry_after_seconds=2)

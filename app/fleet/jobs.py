"""Jobs of one kind: at most one at a time in the fleet, and what became of each."""

from typing import Final

from msgspec import Struct

from app.redis import lua as scripts
from app.redis.client import Link, Outcome

LEASE_MS: Final = 10_000
_KEPT_MS: Final = 30 * 86_400_000


class Kept(Struct, frozen=True):
    """A record as it was last written, and the id of the job that has the lease now."""

    record: bytes | None
    running: str | None


class Jobs:
    """Keep the records of jobs of a kind below `prefix`, for 30 days, and the lease of the one that runs.

    A job lives as long as it writes its record: after `LEASE_MS` without, another may start. Nothing here raises what
    Redis may raise. Times are Unix milliseconds.
    """

    def __init__(self, link: Link, *, prefix: str, kind: str) -> None:
        self._link: Final = link
        self._name: Final = f"{prefix}:{{{kind}}}"
        self._start: Final = link.client.register_script(scripts.START_JOB)
        self._note: Final = link.client.register_script(scripts.NOTE_JOB)

    async def start(self, job_id: str, record: bytes, now: int, last_began_by: int) -> str | Outcome | None:
        """Give the lease to a job if no other has it and the last one began by then.

        Gives the id of the job that has the lease, or None if it is too early.
        """
        keys = [self._lease, self._job(job_id), f"{self._name}:began"]
        arguments = [job_id, LEASE_MS, record, _KEPT_MS, now, last_began_by]
        found = await self._link.attempt(lambda: self._start(keys=keys, args=arguments))
        return found if isinstance(found, Outcome) else found.decode() or None

    async def note(self, job_id: str, record: bytes) -> bool | Outcome:
        """Write the record of the job that has the lease, and renew it. Gives False if the lease is lost."""
        return await self._write(job_id, record, over=False, result=False)

    async def finish(self, job_id: str, record: bytes, *, result: bool) -> bool | Outcome:
        """Write the last record of a job and give its lease back; a `result` is what `last` gives from now on."""
        return await self._write(job_id, record, over=True, result=result)

    async def find(self, job_id: str) -> Kept | Outcome:
        """Give the record of a job."""
        return await self._read(self._job(job_id))

    async def last(self) -> Kept | Outcome:
        """Give the last result."""
        return await self._read(f"{self._name}:last")

    async def _write(self, job_id: str, record: bytes, *, over: bool, result: bool) -> bool | Outcome:
        keys = [self._lease, self._job(job_id), f"{self._name}:last"]
        arguments = [job_id, LEASE_MS, record, _KEPT_MS, int(over), int(result)]
        found = await self._link.attempt(lambda: self._note(keys=keys, args=arguments))
        return found if isinstance(found, Outcome) else found == 1

    async def _read(self, name: str) -> Kept | Outcome:
        """Read a record and the lease at one moment."""
        found = await self._link.attempt(lambda: self._link.client.mget(name, self._lease))
        if isinstance(found, Outcome):
            return found
        record, running = found
        return Kept(record, running.decode() if running else None)

    @property
    def _lease(self) -> str:
        return f"{self._name}:lease"

    def _job(self, job_id: str) -> str:
        return f"{self._name}:job:{job_id}"

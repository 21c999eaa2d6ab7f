"""Fleet-wide jobs of one kind: at most one at a time, and a record of each."""

from typing import Any, Final

from msgspec import Struct

from app.redis import lua_shared
from app.redis.client import RedisFailure
from app.redis.results import read_bytes, read_flag, values_reader
from app.redis.scripts import make_single, run_single
from app.redis.shared import Shared

LEASE_MS: Final = 10_000
_RETENTION_MS: Final = 30 * 86_400_000


class JobRecord(Struct, frozen=True):
    """A record as last written, and the id of the job that has the lease now."""

    record: bytes | None
    leaseholder: str | None


class Jobs:
    """Keep the records of jobs of a kind for 30 days, and the lease of the one that runs.

    A job must write its record every `LEASE_MS`, otherwise another may start. No method raises errors of Redis. Times
    are Unix milliseconds.
    """

    def __init__(self, shared: Shared, kind: str) -> None:
        self._redis_client: Final = shared.client
        self._name: Final = f"{shared.key_prefix}:{{{kind}}}"
        self._start_script: Final = make_single(lua_shared.START_JOB)
        self._update_script: Final = make_single(lua_shared.UPDATE_JOB)

    async def start(self, job_id: str, record: bytes, now: int, last_began_by: int) -> str | RedisFailure | None:
        """Acquire the lease for a job if no other has it and the last one began by `last_began_by`.

        Returns the id of the job that has the lease, or None if it is too early.
        """
        keys = [self._lease, self._job(job_id), f"{self._name}:began"]
        arguments = [job_id, LEASE_MS, record, _RETENTION_MS, now, last_began_by]
        found = await self._redis_client.execute(
            lambda: run_single(self._redis_client.client, self._start_script, keys, arguments), _read_id
        )
        return found if isinstance(found, RedisFailure) else found or None

    async def update(self, job_id: str, record: bytes) -> bool | RedisFailure:
        """Write the record of the job that has the lease, and renew that. Returns False if the lease is lost."""
        return await self._write(job_id, record, over=False, result=False)

    async def finish(self, job_id: str, record: bytes, *, result: bool) -> bool | RedisFailure:
        """Write the last record of a job and release its lease. `last` returns a `result` from now on."""
        return await self._write(job_id, record, over=True, result=result)

    async def find(self, job_id: str) -> JobRecord | RedisFailure:
        """Return the record of a job."""
        return await self._read(self._job(job_id))

    async def last(self) -> JobRecord | RedisFailure:
        """Return the last result."""
        return await self._read(f"{self._name}:last")

    async def _write(self, job_id: str, record: bytes, *, over: bool, result: bool) -> bool | RedisFailure:
        keys = [self._lease, self._job(job_id), f"{self._name}:last"]
        arguments = [job_id, LEASE_MS, record, _RETENTION_MS, int(over), int(result)]
        return await self._redis_client.execute(
            lambda: run_single(self._redis_client.client, self._update_script, keys, arguments), read_flag
        )

    async def _read(self, name: str) -> JobRecord | RedisFailure:
        """Read a record and the lease at one moment."""
        return await self._redis_client.execute(lambda: self._redis_client.client.mget(name, self._lease), _read_record)

    @property
    def _lease(self) -> str:
        return f"{self._name}:lease"

    def _job(self, job_id: str) -> str:
        return f"{self._name}:job:{job_id}"


def _read_id(result: Any) -> str:
    return _decode(read_bytes(result))


def _read_record(result: Any) -> JobRecord:
    record, leaseholder = values_reader(2)(result)
    return JobRecord(record, _decode(leaseholder) if leaseholder else None)


def _decode(job_id: bytes) -> str:
    """Decode the id of a job. What another program wrote there is no id of ours, whatever it is."""
    return job_id.decode(errors="replace")

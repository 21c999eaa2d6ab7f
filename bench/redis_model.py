"""Redis model for a fleet in virtual time: the scripts restated in Python, a network with delays, and a bus."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, Self

import msgspec
from msgspec import Struct

from app.balances.snapshots import AccountId, Entry
from app.fleet.bus import Failure
from app.redis import lua, lua_budget, lua_shared
from app.redis.results import read_flag, read_integer, read_lease
from app.redis.scripts import make_script, make_single

Command = Callable[[Sequence[str], Sequence[Any]], Any]
Run = tuple[str, Sequence[str], Sequence[Any]]
"""A script's name, its keys and its arguments."""

Delay = Callable[[], float]
"""Draws the seconds that the network takes in one direction."""


GET: Final = "GET"
SET: Final = "SET"


class Listener(Protocol):
    """A replica's end of the bus."""

    def on_entry(self, entry: Entry, /) -> None:
        """Receive an entry that another replica stored."""

    def on_failure(self, failure: Failure, /) -> None:
        """Receive why another replica could not fetch an entry."""

    def on_lease_released(self, key: AccountId, /) -> None:
        """Receive that another replica released a lease without an entry."""

    def on_moved(self, key: AccountId, at: int, /) -> None:
        """Receive that an account has moved."""


class _Stored(Struct, frozen=True):
    value: bytes
    as_of: int
    until_ms: int

    @property
    def is_moved(self) -> bool:
        """Restate how `lua.READ_OR_LEASE` knows a mark."""
        return b',"movedAt":' in self.value


class _Lease(Struct, frozen=True):
    replica_id: str
    until_ms: int


class _Release(Struct, frozen=True):
    failure: Failure | None = None
    freed: AccountId | None = None

    def deliver(self, listener: Listener) -> None:
        """Report why there is no entry, or that a lease was released without a reason."""
        if self.failure is not None:
            listener.on_failure(self.failure)
        if self.freed is not None:
            listener.on_lease_released(self.freed)


class Server:
    """Model one Redis with entries, leases and the budget. `operations` counts commands, `messages` what was published.

    `now_us` gives Unix microseconds. `delay` draws how long a message takes to reach one listener.
    """

    def __init__(self, now_us: Callable[[], int], delay: Delay) -> None:
        self._now_us: Final = now_us
        self._delay: Final = delay
        self._stored: Final[dict[str, _Stored]] = {}
        self._leases: Final[dict[str, _Lease]] = {}
        self._asked: dict[str, int] = {}
        self._next: float = 0
        self._paused_until = self._pause_length = 0
        self._slowed: int | None = None
        self._factor = 1.0
        self._decoder: Final = msgspec.json.Decoder(Entry)
        self.listeners: Final[dict[str, Listener]] = {}
        self.operations: Final[Counter[str]] = Counter()
        self.messages = 0
        self.is_up = True
        self.commands: Final[dict[str, Command]] = {
            make_script(lua.READ_OR_LEASE, read_lease).sha: self.read_or_lease,
            make_script(lua_budget.READ_OR_LEASE_WITH_PERMIT, read_lease).sha: self.read_or_lease_with_permit,
            make_script(lua.STORE_AND_RELEASE, read_flag).sha: self.store_and_release,
            make_script(lua.RELEASE_AND_NOTIFY, read_flag).sha: self.release_and_notify,
            make_script(lua.RENEW_LEASE, read_flag).sha: self.renew_lease,
            make_script(lua_shared.MARK_MOVED, read_integer).sha: self.mark_moved,
            GET: self.get,
            SET: self.set,
        }
        self.single_commands: Final[dict[str, Command]] = {
            make_single(lua_budget.TAKE_PERMITS).sha: self.take_permits,
            make_single(lua_budget.PAUSE).sha: self.pause,
            make_single(lua_shared.RENEW_DEMAND).sha: self.renew_demand,
            make_single(lua_shared.RELEASE_LEASE).sha: self.release_lease,
            make_single(lua.RENEW_LEASE).sha: self.renew_lease,
        }

    def read_or_lease(self, keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        """Restate `lua.READ_OR_LEASE`."""
        replica_id, lease_ms, oldest, known, latest = args
        stored, lease = self._find(keys[0]), self._find_lease(keys[1])
        if stored is not None and stored.as_of > latest:
            stored = None
        is_moved = stored is not None and stored.is_moved
        if stored is not None and stored.as_of >= oldest and not is_moved:
            return [stored.value, -1]
        value = stored.value if stored and (is_moved or stored.as_of > known) else None
        if lease is None:
            self._leases[keys[1]] = _Lease(replica_id, self._now_ms() + lease_ms)
            return [value, 0]
        left_ms = lease.until_ms - self._now_ms()
        if left_ms > lease_ms:
            self._leases[keys[1]] = _Lease(lease.replica_id, self._now_ms() + lease_ms)
        return [value, max(min(left_ms, lease_ms), 1)]

    def read_or_lease_with_permit(self, keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        """Restate `lua_budget.READ_OR_LEASE_WITH_PERMIT`."""
        found = self.read_or_lease(keys[:2], args[:5])
        return found if found[1] != 0 else [*found, *self.take_permits(keys[2:], [args[0], *args[5:7], 1, args[7]])]

    def store_and_release(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `lua.STORE_AND_RELEASE`."""
        replica_id, value, as_of, ttl_ms, _, latest = args
        self._release_lease(keys[1], replica_id)
        stored = self._find(keys[0])
        if stored is not None and as_of <= stored.as_of <= latest:
            return 0
        self._stored[keys[0]] = _Stored(value, as_of, self._now_ms() + ttl_ms)
        entry = self._decoder.decode(value)
        self._publish(replica_id, lambda listener: listener.on_entry(entry))
        return 1

    def release_and_notify(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `lua.RELEASE_AND_NOTIFY`."""
        replica_id, message, _ = args
        if self._release_lease(keys[0], replica_id):
            release = msgspec.json.decode(message, type=_Release)
            self._publish(replica_id, release.deliver)
        return 1

    def renew_lease(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `lua.RENEW_LEASE`."""
        replica_id, lease_ms = args
        lease = self._find_lease(keys[0])
        if lease is None or lease.replica_id != replica_id:
            return 0
        self._leases[keys[0]] = _Lease(replica_id, self._now_ms() + lease_ms)
        return 1

    def take_permits(self, _: Sequence[str], args: Sequence[Any]) -> list[int]:
        """Restate `lua_budget.TAKE_PERMITS`."""
        replica_id, interval, tolerance, wanted, census = args
        now = self._now_us()
        asking = self._count_replicas(replica_id, now) if census else 0
        if self._paused_until > now:
            self._paused_until = self._slowed = min(self._paused_until, now + self._pause_length)
            return [0, self._paused_until - now, asking]
        latest = now + 2 * tolerance + interval * self._factor
        interval *= self._slowness(now)
        due = min(max(self._next, now), latest)
        granted = min(wanted, math.floor((now + tolerance - due) / interval) + 1)
        if granted <= 0:
            self._next = due
            return [0, math.ceil(due - tolerance - now), asking]
        self._next = round(due + granted * interval)
        return [granted, max(0, math.ceil(due + granted * interval - tolerance - now)), asking]

    def pause(self, _: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `lua_budget.PAUSE`."""
        now = self._now_us()
        before = min(self._paused_until, now + self._pause_length)
        if before <= now:
            self._factor = min(self._slowness(now) * 2, 64)
        self._paused_until = self._slowed = max(before, now + args[0])
        self._pause_length = self._paused_until - now
        return 1

    def renew_demand(self, keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        """Restate `lua_shared.RENEW_DEMAND`."""
        replica_id, lease_ms, wanted, share = args
        now = self._now_ms()
        demand = self._find_lease(keys[0])
        if wanted > (demand.until_ms - now if demand else 0):
            demand = self._leases[keys[0]] = _Lease("", now + wanted)
        lease, said = self._find_lease(keys[1]), self._find_lease(keys[2])
        left = demand.until_ms - now if demand else 0
        if not left or (lease and lease.replica_id != replica_id):
            return [left, 0, (said.replica_id if said else "").encode()]
        self._leases[keys[1]] = _Lease(replica_id, now + lease_ms)
        if share:
            said = self._leases[keys[2]] = _Lease(share, now + 10 * lease_ms)
        return [left, 1, (said.replica_id if said else "").encode()]

    def release_lease(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `lua_shared.RELEASE_LEASE`."""
        self._release_lease(keys[0], args[0])
        return 1

    def mark_moved(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `lua_shared.MARK_MOVED`."""
        replica_id, key, at, latest, _ = args
        stored = self._find(keys[0])
        if stored is not None and stored.as_of <= latest:
            at = max(at, stored.as_of)
            if not stored.is_moved:
                value = stored.value[:-1] + b',"movedAt":%d}' % at
                self._stored[keys[0]] = _Stored(value, stored.as_of, stored.until_ms)
        self._publish(replica_id, lambda listener: listener.on_moved(key, at))
        return int(at)

    def set(self, keys: Sequence[str], args: Sequence[Any]) -> bool | None:
        """Take a lease if it is free."""
        if self._find_lease(keys[0]) is not None:
            return None
        self._leases[keys[0]] = _Lease(args[0], self._now_ms() + args[1])
        return True

    def get(self, keys: Sequence[str], _: Sequence[Any]) -> bytes | None:
        """Give what is stored under a name."""
        stored = self._find(keys[0])
        return None if stored is None else stored.value

    def _count_replicas(self, replica_id: str, now: int) -> int:
        """Count the replicas whose last census was within a second."""
        self._asked[replica_id] = now
        self._asked = {name: at for name, at in self._asked.items() if now - 1_000_000 < at <= now}
        return len(self._asked)

    def _slowness(self, now: int) -> float:
        slowed = now if self._slowed is None else self._slowed
        return max(1.0, self._factor * math.exp2(-max(0, now - slowed) / 10_000_000))

    def _publish(self, sender: str, deliver: Callable[[Listener], None]) -> None:
        self.messages += 1
        loop = asyncio.get_running_loop()
        for replica_id, listener in self.listeners.items():
            if replica_id != sender:
                loop.call_later(self._delay(), deliver, listener)

    def _find(self, name: str) -> _Stored | None:
        stored = self._stored.get(name)
        return stored if stored is not None and stored.until_ms > self._now_ms() else None

    def _find_lease(self, name: str) -> _Lease | None:
        lease = self._leases.get(name)
        return lease if lease is not None and lease.until_ms > self._now_ms() else None

    def _release_lease(self, name: str, replica_id: str) -> bool:
        lease = self._find_lease(name)
        if lease is None or lease.replica_id != replica_id:
            return False
        del self._leases[name]
        return True

    def _now_ms(self) -> int:
        return self._now_us() // 1000


class Pipeline:
    """Commands sent in one round trip, each of which runs a script once or more often."""

    def __init__(self, client: "Client") -> None:
        self._client: Final = client
        self._batches: Final[list[list[Run]]] = []
        self._marks: Final[list[list[bytes]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def get(self, name: str) -> None:
        """Take a look-up along."""
        self._batches.append([(GET, [name], [])])
        self._marks.append([])

    def execute_command(self, _: str, name: str, count: int, *words: Any) -> None:
        """Add a command: the keys of all runs, the arguments of each, how many runs there are, and a mark."""
        keys, arguments, runs = words[:count], words[count:-2], words[-2]
        self._marks.append([words[-1]])
        self._batches.append(
            [
                (
                    name,
                    keys[number * len(keys) // runs :][: len(keys) // runs],
                    arguments[number * len(arguments) // runs :][: len(arguments) // runs],
                )
                for number in range(runs)
            ]
        )

    async def execute(self, *, raise_on_error: bool = True, allow_redirections: bool = True) -> Sequence[Any]:
        """Send all commands in one round trip. The model refuses nothing."""
        del raise_on_error, allow_redirections
        found = iter(await self._client.send([run for batch in self._batches for run in batch]))
        results = [
            [*(next(found) for _ in batch), *mark] for batch, mark in zip(self._batches, self._marks, strict=True)
        ]
        return [one[0] if batch[0][0] is GET else one for batch, one in zip(self._batches, results, strict=True)]


class Client:
    """The part of a Redis client that `RedisTier` and `FleetRateLimiter` use. `delay` draws the seconds of one direction."""

    def __init__(self, server: Server, delay: Delay) -> None:
        self._server: Final = server
        self._delay: Final = delay
        self.is_cut_off = False

    async def ping(self) -> bool:
        """Answer if the server is up."""
        await self.send([])
        return True

    async def set(self, name: str, value: str, *, nx: bool, px: int) -> Any:
        """Take a lease."""
        if not nx:
            raise NotImplementedError
        (taken,) = await self.send([(SET, [name], [value, px])])
        return taken

    def pipeline(self, *, transaction: bool) -> Pipeline:
        """Return a pipeline."""
        del transaction
        return Pipeline(self)

    async def execute_command(self, *words: Any) -> Any:
        """Send one command in a round trip of its own."""
        _, name, count, *rest = words
        if name in self._server.single_commands:
            *arguments, mark = rest[count:]
            (result,) = await self.send([(name, rest[:count], arguments)])
            return [result, mark]
        pipeline = Pipeline(self)
        pipeline.execute_command(*words)
        (found,) = await pipeline.execute(raise_on_error=False)
        return found

    def send(self, runs: Sequence[Run]) -> Awaitable[list[Any]]:
        """Send scripts and return their results after the delays of request and response."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()
        if self.is_cut_off or not self._server.is_up:
            answer.set_exception(ConnectionError("There is no Redis."))
            return answer

        def run() -> None:
            loop.call_later(self._delay(), reply, [self._run(*one) for one in runs])

        def reply(results: list[Any]) -> None:
            if not answer.done():
                answer.set_result(results)

        loop.call_later(self._delay(), run)
        return answer

    def _run(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        command = self._server.commands.get(name) or self._server.single_commands[name]
        self._server.operations[command.__name__] += 1
        return command(keys, args)

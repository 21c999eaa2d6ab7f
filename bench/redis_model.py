"""Redis as a fleet in virtual time sees it: its scripts restated in Python, a network that takes its time, a bus."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, Self

import msgspec
from msgspec import Struct

from app.balances.snapshots import AccountId, Entry
from app.fleet.bus import Failure
from app.redis import lua as scripts
from app.redis.scripts import make_script

Command = Callable[[Sequence[str], Sequence[Any]], Any]
Run = tuple[str, Sequence[str], Sequence[Any]]
"""A script's name, and the keys and arguments that it is to be run with."""

Delay = Callable[[], float]
"""Draws the seconds that the network takes for one way."""


GET: Final = "GET"


class Listener(Protocol):
    """A replica's end of the bus."""

    def on_entry(self, entry: Entry, /) -> None:
        """Take what another replica tells."""

    def on_failure(self, failure: Failure, /) -> None:
        """Take why another replica has nothing to tell."""

    def on_lease_released(self, key: AccountId, /) -> None:
        """Take that another replica has let a key go."""


class _Stored(Struct, frozen=True):
    value: bytes
    as_of: int
    until_ms: int


class _Lease(Struct, frozen=True):
    replica_id: str
    until_ms: int


class _Trouble(Struct, frozen=True):
    failure: Failure | None = None
    freed: AccountId | None = None

    def tell(self, listener: Listener) -> None:
        """Tell why there is no entry, or that a lease was given back without a word about it."""
        if self.failure is not None:
            listener.on_failure(self.failure)
        if self.freed is not None:
            listener.on_lease_released(self.freed)


class Server:
    """One Redis for all: entries, leases, the budget. `operations` counts what it was asked, `messages` what it told.

    `now_us` gives Unix microseconds; `delay` is how long a message of the bus takes to one listener.
    """

    def __init__(self, now_us: Callable[[], int], delay: Delay) -> None:
        self._now_us: Final = now_us
        self._delay: Final = delay
        self._stored: Final[dict[str, _Stored]] = {}
        self._leases: Final[dict[str, _Lease]] = {}
        self._asked: Final[dict[str, int]] = {}
        self._next = self._quiet_until = 0
        self._slowed: int | None = None
        self._factor = 1.0
        self._decoder: Final = msgspec.json.Decoder(Entry)
        self.listeners: Final[dict[str, Listener]] = {}
        self.operations: Final[Counter[str]] = Counter()
        self.messages = 0
        self.is_up = True
        self.commands: Final[dict[str, Command]] = {
            make_script(scripts.READ_OR_LEASE).sha: self.begin,
            make_script(scripts.READ_OR_LEASE_WITH_PERMIT).sha: self.begin_and_take,
            make_script(scripts.STORE_AND_RELEASE).sha: self.settle,
            make_script(scripts.RELEASE_AND_NOTIFY).sha: self.abandon,
            make_script(scripts.RENEW_LEASE).sha: self.renew,
            scripts.TAKE_PERMITS: self.take_turns,
            scripts.PAUSE: self.quiet,
            scripts.RENEW_DEMAND: self.renew_demand,
            scripts.RELEASE_LEASE: self.release_lease,
            GET: self.get,
        }

    def begin(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[bytes | None, int]:
        """Restate `scripts.BEGIN`."""
        replica_id, lease_ms, oldest, known, latest = args
        stored, lease = self._find(keys[0]), self._find_lease(keys[1])
        if stored is not None and stored.as_of > latest:
            stored = None
        if stored is not None and stored.as_of >= oldest:
            return stored.value, -1
        value = stored.value if stored and stored.as_of > known else None
        if lease is None:
            self._leases[keys[1]] = _Lease(replica_id, self._now_ms() + lease_ms)
            return value, 0
        return value, max(lease.until_ms - self._now_ms(), 1)

    def begin_and_take(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """Restate `scripts.BEGIN_AND_TAKE`."""
        begun = self.begin(keys[:2], args[:5])
        return begun if begun[1] != 0 else (*begun, *self.take_turns(keys[2:], [args[0], *args[5:], 1]))

    def settle(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `scripts.SETTLE`."""
        replica_id, value, as_of, ttl_ms, _, latest = args
        self._give_back(keys[1], replica_id)
        stored = self._find(keys[0])
        if stored is not None and as_of <= stored.as_of <= latest:
            return 0
        self._stored[keys[0]] = _Stored(value, as_of, self._now_ms() + ttl_ms)
        entry = self._decoder.decode(value)
        self._publish(replica_id, lambda listener: listener.on_entry(entry))
        return 1

    def abandon(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `scripts.ABANDON`."""
        replica_id, message, _ = args
        if self._give_back(keys[0], replica_id):
            trouble = msgspec.json.decode(message, type=_Trouble)
            self._publish(replica_id, trouble.tell)
        return 1

    def renew(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `scripts.RENEW`."""
        replica_id, lease_ms = args
        lease = self._find_lease(keys[0])
        if lease is None or lease.replica_id != replica_id:
            return 0
        self._leases[keys[0]] = _Lease(replica_id, self._now_ms() + lease_ms)
        return 1

    def take_turns(self, _: Sequence[str], args: Sequence[Any]) -> tuple[int, int, int]:
        """Restate `scripts.TAKE_TURNS`."""
        replica_id, interval, tolerance, wanted = args
        now = self._now_us()
        self._note_asking(replica_id, now)
        if self._quiet_until > now:
            return 0, self._quiet_until - now, len(self._asked)
        interval *= self._slowness(now)
        due = max(self._next, now)
        granted = min(wanted, math.floor((now + tolerance - due) / interval) + 1)
        if granted <= 0:
            return 0, math.ceil(due - tolerance - now), len(self._asked)
        self._next = round(due + granted * interval)
        return granted, max(0, math.ceil(due + granted * interval - tolerance - now)), len(self._asked)

    def quiet(self, _: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `scripts.QUIET`."""
        now = self._now_us()
        if self._quiet_until <= now:
            self._factor = min(self._slowness(now) * 2, 64)
        self._quiet_until = self._slowed = max(self._quiet_until, now + args[0])
        return 1

    def renew_demand(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[int, int, bytes]:
        """Restate `scripts.RENEW_DEMAND`."""
        replica_id, lease_ms, wanted, share = args
        now = self._now_ms()
        demand = self._find_lease(keys[0])
        if wanted > (demand.until_ms - now if demand else 0):
            demand = self._leases[keys[0]] = _Lease("", now + wanted)
        lease, said = self._find_lease(keys[1]), self._find_lease(keys[2])
        left = demand.until_ms - now if demand else 0
        if not left or (lease and lease.replica_id != replica_id):
            return left, 0, (said.replica_id if said else "").encode()
        self._leases[keys[1]] = _Lease(replica_id, now + lease_ms)
        if share:
            said = self._leases[keys[2]] = _Lease(share, now + 10 * lease_ms)
        return left, 1, (said.replica_id if said else "").encode()

    def release_lease(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        """Restate `scripts.RELEASE_LEASE`."""
        self._give_back(keys[0], args[0])
        return 1

    def get(self, keys: Sequence[str], _: Sequence[Any]) -> bytes | None:
        """Give what is stored under a name."""
        stored = self._find(keys[0])
        return None if stored is None else stored.value

    def _note_asking(self, replica_id: str, now: int) -> None:
        """Keep who asked within the last second, in the order in which they did."""
        self._asked.pop(replica_id, None)
        self._asked[replica_id] = now
        while self._asked[first := next(iter(self._asked))] <= now - 1_000_000:
            del self._asked[first]

    def _slowness(self, now: int) -> float:
        slowed = now if self._slowed is None else self._slowed
        return max(1.0, self._factor * math.exp2((slowed - now) / 10_000_000))

    def _publish(self, sender: str, tell: Callable[[Listener], None]) -> None:
        self.messages += 1
        loop = asyncio.get_running_loop()
        for replica_id, listener in self.listeners.items():
            if replica_id != sender:
                loop.call_later(self._delay(), tell, listener)

    def _find(self, name: str) -> _Stored | None:
        stored = self._stored.get(name)
        return stored if stored is not None and stored.until_ms > self._now_ms() else None

    def _find_lease(self, name: str) -> _Lease | None:
        lease = self._leases.get(name)
        return lease if lease is not None and lease.until_ms > self._now_ms() else None

    def _give_back(self, name: str, replica_id: str) -> bool:
        lease = self._find_lease(name)
        if lease is None or lease.replica_id != replica_id:
            return False
        del self._leases[name]
        return True

    def _now_ms(self) -> int:
        return self._now_us() // 1000


class Script:
    """A script of `app/redis/lua.py`, which a client runs by its text or, the model says, by the same as its name."""

    def __init__(self, client: "Client", text: str) -> None:
        self._client: Final = client
        self.script: Final = text
        self.sha: Final = text

    async def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it, there and back."""
        (result,) = await self._client.send([(self.script, keys, args)])
        return result


class Pipeline:
    """Commands that travel together, each of which runs a script once or more often."""

    def __init__(self, client: "Client") -> None:
        self._client: Final = client
        self._strokes: Final[list[list[Run]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def get(self, name: str) -> None:
        """Take a look-up along."""
        self._strokes.append([(GET, [name], [])])

    def execute_command(self, _: str, name: str, count: int, *words: Any) -> None:
        """Take a command along: the keys of all runs, how many there are, and the arguments of each."""
        keys, runs, arguments = words[:count], words[count], words[count + 1 :]
        self._strokes.append(
            [
                (
                    name,
                    keys[number * len(keys) // runs :][: len(keys) // runs],
                    arguments[number * len(arguments) // runs :][: len(arguments) // runs],
                )
                for number in range(runs)
            ]
        )

    async def execute(self, *, raise_on_error: bool = True) -> Sequence[Any]:
        """Send all, there and back. Nothing is refused here."""
        del raise_on_error
        found = iter(await self._client.send([run for stroke in self._strokes for run in stroke]))
        results = [[next(found) for _ in stroke] for stroke in self._strokes]
        return [one[0] if stroke[0][0] is GET else one for stroke, one in zip(self._strokes, results, strict=True)]


class Client:
    """As much of a Redis client as `RedisTier.begin` to `keep_leases`, and `Turns`, ask for; `delay` is its way there."""

    def __init__(self, server: Server, delay: Delay) -> None:
        self._server: Final = server
        self._delay: Final = delay
        self.is_cut_off = False

    async def ping(self) -> bool:
        """Answer if the server is up."""
        await self.send([])
        return True

    def register_script(self, text: str) -> Script:
        """Give what runs a script."""
        return Script(self, text)

    def pipeline(self, *, transaction: bool) -> Pipeline:
        """Give what takes commands along."""
        del transaction
        return Pipeline(self)

    async def execute_command(self, *words: Any) -> Any:
        """Send one command, there and back."""
        pipeline = Pipeline(self)
        pipeline.execute_command(*words)
        (found,) = await pipeline.execute(raise_on_error=False)
        return found

    def send(self, runs: Sequence[Run]) -> Awaitable[list[Any]]:
        """Send scripts there and their results back."""
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
        command = self._server.commands[name]
        self._server.operations[command.__name__] += 1
        return command(keys, args)

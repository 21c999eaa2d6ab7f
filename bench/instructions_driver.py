"""Driver of `bench.instructions`: the service in one process under callgrind, asked in the way that granian asks it."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import uvloop
from msgspec import Struct

from app.server.workers import load_app
from bench.contenders import KEY, MERCHANT

FRESH_SECONDS: Final = 2
_STALE_SECONDS: Final = FRESH_SECONDS + 0.5
_GATHERED_SECONDS: Final = 0.06
_NO_CACHE: Final = ("cache-control", "no-cache")


class Operation(Struct, frozen=True):
    """Reads to be counted: `count` of them after `warm`, `lanes` at a time, of accounts from `first` on, `ids` in turn.

    If `is_stale`, all are read `FRESH_SECONDS` before, and the background refreshes of the reads are counted too.
    """

    name: str
    count: int
    warm: int = 0
    lanes: int = 1
    first: int = MERCHANT
    ids: int = 1
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200
    is_stale: bool = False
    is_empty: bool = False
    """Whether nothing is asked, which shows what the driver itself takes."""


class Watcher:
    """What granian hands over for a request, and what was answered."""

    def __init__(self, account: int, headers: Sequence[tuple[str, str]]) -> None:
        path = f"/v1/merchants/{account}/balances"
        lines = [("host", "127.0.0.1:8080"), ("authorization", f"Bearer {KEY}"), *headers]
        self.scope: Final[dict[str, Any]] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 40000),
            "scheme": "http",
            "method": "GET",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": bytes(bytearray()),
            "headers": [(name.encode(), value.encode()) for name, value in lines],
            "state": {},
        }
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.error: BaseException | None = None
        self.ended: Callable[[], None] = lambda: None

    def receive(self) -> asyncio.Future[Any]:
        """Wait for a body that never comes, as granian does after an empty one."""
        return asyncio.get_running_loop().create_future()

    def send(self, message: dict[str, Any]) -> "_Sent":
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        return _SENT


class _Sent:
    """An awaitable that is done, as granian's is."""

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> None:
        raise StopIteration


_SENT: Final = _Sent()


class Driver:
    """Asks the service, and notes the loads that it starts in the background."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Any, library: ctypes.CDLL) -> None:
        self._loop: Final = loop
        self._app: Final = app
        self._library: Final = library
        self._loads: Final[list[asyncio.Future[Any]]] = []
        self._stores: Final[list[asyncio.Future[Any]]] = []
        make: Any = loop.get_task_factory()

        def make_task(loop: asyncio.AbstractEventLoop, steps: Any, **options: Any) -> Any:
            task = make(loop, steps, **options)
            if (name := getattr(steps, "__qualname__", "")) == "Loads._load":
                self._loads.append(task)
            elif name == "Stores._store":
                self._stores.append(task)
            return task

        loop.set_task_factory(make_task)

    async def start(self) -> None:
        """Start the service, and wait until it answers."""
        to_app: asyncio.Queue[Any] = asyncio.Queue()
        from_app: asyncio.Queue[Any] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._life = self._loop.create_task(self._app(scope, to_app.get, from_app.put))
        await to_app.put({"type": "lifespan.startup"})
        if (await from_app.get())["type"] != "lifespan.startup.complete":
            raise AssertionError("the service did not start")
        await asyncio.sleep(1)  # until its bus and its tasks have begun
        await self.ask([Watcher(MERCHANT, [])], self._app, 1)

    async def _end_loads(self) -> None:
        """Wait until the loads have ended, those that were gathered included, and what they loaded is stored."""
        await asyncio.sleep(_GATHERED_SECONDS)
        await asyncio.gather(*self._loads)
        await asyncio.gather(*self._stores)

    async def measure(self, operation: Operation, scale: int) -> None:
        """Have callgrind count the instructions of an operation, with a clock `scale` times slower."""
        app = _answer_nothing if operation.is_empty else self._app
        if operation.is_stale:
            await self.ask(self._watchers(operation, _NO_CACHE), app, 32)
            await asyncio.sleep(_STALE_SECONDS)
        self._library.bench_scale(scale)
        if operation.first == MERCHANT:
            await self.ask([Watcher(MERCHANT, [_NO_CACHE])], self._app, 1)
        warm = [Watcher(each, operation.headers) for each in self._accounts(operation, -operation.warm, 0)]
        await self.ask(warm, app, operation.lanes)
        watchers = self._watchers(operation)
        self._loads.clear()
        self._stores.clear()
        gc.collect()
        self._library.bench_begin()
        await self.ask(watchers, app, operation.lanes)
        await self._end_loads()
        self._library.bench_end(operation.name.encode())
        self._library.bench_scale(1)
        if wrong := [each.status for each in watchers if each.status != operation.status]:
            raise AssertionError((operation.name, wrong[:3]))
        if operation.is_stale and len(self._loads) != operation.count:
            raise AssertionError((operation.name, len(self._loads)))

    async def ask(self, watchers: Sequence[Watcher], app: Any, lanes: int) -> None:
        """Ask for all, so many at a time, each out of a callback of the loop, as granian does."""
        done, waiting, left = self._loop.create_future(), iter(watchers), len(watchers)

        def begin() -> None:
            if (watcher := next(waiting, None)) is not None:
                self._loop.create_task(future_watcher(app, watcher))

        def end() -> None:
            nonlocal left
            left -= 1
            if left:
                self._loop.call_soon(begin)
            else:
                done.set_result(None)

        for watcher in watchers:
            watcher.ended = end
        for _ in range(lanes):
            self._loop.call_soon(begin)
        if watchers:
            await done
        for error in filter(None, (watcher.error for watcher in watchers)):
            raise error

    def _watchers(self, operation: Operation, *more: tuple[str, str]) -> list[Watcher]:
        return [Watcher(each, [*operation.headers, *more]) for each in self._accounts(operation, 0, operation.count)]

    def _accounts(self, operation: Operation, begin: int, end: int) -> Iterable[int]:
        return [operation.first + number % operation.ids for number in range(begin, end)]


async def future_watcher(app: Any, watcher: Watcher) -> None:
    """Ask for one. The service knows the coroutines of requests by this name, which is granian's."""
    try:
        await app(watcher.scope, watcher.receive, watcher.send)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the measurement must end
        watcher.error = error
    watcher.ended()


async def _answer_nothing(_: Any, __: Any, send: Callable[[dict[str, Any]], _Sent]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _run(driver: Driver, operations: Sequence[Operation], scale: int) -> None:
    await driver.start()
    for operation in operations:
        await driver.measure(operation, scale)


def main() -> None:
    """Measure the operations of the command line, and end without ending the service, which nobody counts."""
    library, folder, scale, operations = sys.argv[1:]
    shim = ctypes.CDLL(library)
    shim.bench_scale.argtypes = [ctypes.c_int64]
    shim.bench_end.argtypes = [ctypes.c_char_p]
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = load_app(Path(folder))
    shim.bench_instrument()
    driver = Driver(loop, app, shim)
    plan = msgspec.json.decode(operations, type=list[Operation])
    loop.run_until_complete(_run(driver, plan, int(scale)))
    os._exit(0)


if __name__ == "__main__":
    main()

"""Driver of `bench.instructions`: the service in one process under callgrind, asked over connections without a network."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from msgspec import Struct

from app.ingress.connection import Connection
from app.server.worker import load_app
from app.settings.environment import read_settings
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


class Question:
    """A request as it arrives, and the status of its answer."""

    def __init__(self, account: int, headers: Sequence[tuple[str, str]]) -> None:
        lines = [
            f"GET /v1/merchants/{account}/balances HTTP/1.1",
            "host: 127.0.0.1:8080",
            f"authorization: Bearer {KEY}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self.bytes: Final = "\r\n".join([*lines, "", ""]).encode()
        self.status = 0


class Wire:
    """The transport of one connection. `answered` is called with each answer: they are written whole."""

    def __init__(self, answered: Callable[[bytes], None]) -> None:
        self.write: Final = answered

    def get_extra_info(self, _: str) -> tuple[str, int]:
        """Give the address of either end."""
        return "127.0.0.1", 40000

    def is_closing(self) -> bool:
        """Stay open."""
        return False


class Connections:
    """What connections share: the service, or what answers nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Any) -> None:
        self.loop: Final = loop
        self.app: Final = app
        self.tasks: Final[set[asyncio.Task[None]]] = set()

    def add(self, connection: Connection) -> None:
        """Count nothing."""

    remove = add


class Nothing:
    """An application that answers nothing, which shows what the driver itself takes."""

    def recall(self, _: bytes) -> bytes:
        """Answer."""
        return b"HTTP/1.1 200 OK\r\n\r\n"


class Driver:
    """Asks the service, and notes the loads that it starts in the background."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Any, library: ctypes.CDLL) -> None:
        self._loop: Final = loop
        self._app: Final = app
        self._library: Final = library
        self._loads: Final[list[asyncio.Future[Any]]] = []
        self._stores: Final[list[asyncio.Future[Any]]] = []

        def make_task(loop: asyncio.AbstractEventLoop, steps: Any, **options: Any) -> Any:
            task = asyncio.Task(steps, loop=loop, **options)
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
        await self.ask([Question(MERCHANT, [])], self._app, 1)

    async def _end_loads(self) -> None:
        """Wait until the loads have ended, those that were gathered included, and what they loaded is stored."""
        await asyncio.sleep(_GATHERED_SECONDS)
        await asyncio.gather(*self._loads)
        await asyncio.gather(*self._stores)

    async def measure(self, operation: Operation, scale: int) -> None:
        """Have callgrind count the instructions of an operation, with a clock `scale` times slower."""
        app = Nothing() if operation.is_empty else self._app
        if operation.is_stale:
            await self.ask(self._questions(operation, _NO_CACHE), app, 32)
            await asyncio.sleep(_STALE_SECONDS)
        self._library.bench_scale(scale)
        if operation.first == MERCHANT:
            await self.ask([Question(MERCHANT, [_NO_CACHE])], self._app, 1)
        warm = [Question(each, operation.headers) for each in self._accounts(operation, -operation.warm, 0)]
        await self.ask(warm, app, operation.lanes)
        questions = self._questions(operation)
        self._loads.clear()
        self._stores.clear()
        gc.collect()
        self._library.bench_begin()
        await self.ask(questions, app, operation.lanes)
        await self._end_loads()
        self._library.bench_end(operation.name.encode())
        self._library.bench_scale(1)
        if wrong := [each.status for each in questions if each.status != operation.status]:
            raise AssertionError((operation.name, wrong[:3]))
        if operation.is_stale and len(self._loads) != operation.count:
            raise AssertionError((operation.name, len(self._loads)))

    async def ask(self, questions: Sequence[Question], app: Any, lanes: int) -> None:
        """Ask for all over so many connections, each time out of a callback of the loop, as a transport does."""
        done, waiting, left = self._loop.create_future(), iter(questions), len(questions)
        connections = Connections(self._loop, app)

        def begin(connection: Connection, asked: list[Question]) -> None:
            if (question := next(waiting, None)) is not None:
                asked[:] = [question]
                connection.data_received(question.bytes)

        def open_lane() -> None:
            connection, asked = Connection(connections), list[Question]()

            def end(answer: bytes) -> None:
                nonlocal left
                asked[0].status = int(answer[9:12])
                left -= 1
                if left:
                    self._loop.call_soon(begin, connection, asked)
                else:
                    done.set_result(None)

            connection.connection_made(Wire(end))  # type: ignore[arg-type]
            self._loop.call_soon(begin, connection, asked)

        for _ in range(lanes):
            open_lane()
        if questions:
            await done

    def _questions(self, operation: Operation, *more: tuple[str, str]) -> list[Question]:
        return [Question(each, [*operation.headers, *more]) for each in self._accounts(operation, 0, operation.count)]

    def _accounts(self, operation: Operation, begin: int, end: int) -> Iterable[int]:
        return [operation.first + number % operation.ids for number in range(begin, end)]


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
    app = load_app(Path(folder), read_settings(os.environ))
    shim.bench_instrument()
    driver = Driver(loop, app, shim)
    plan = msgspec.json.decode(operations, type=list[Operation])
    loop.run_until_complete(_run(driver, plan, int(scale)))
    os._exit(0)


if __name__ == "__main__":
    main()

"""The synchronous Python client, made from the asynchronous one word by word, as httpcore makes its own."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "clients/python/tallygate_client"
TWINS = ("client", "connection")

_WORDS = (
    (r"import asyncio\n", ""),
    (
        r"sleep: Callable\[\[float\], Awaitable\[None\]\] = asyncio\.sleep",
        "sleep: Callable[[float], None] = time.sleep",
    ),
    (r", Awaitable, Callable", ", Callable"),
    (r"import AsyncGenerator, AsyncIterator, Callable", "import Callable, Generator, Iterator"),
    (r"import AsyncGenerator, Callable", "import Callable, Generator"),
    (r"(async|await) ", ""),
    (r"AsyncGenerator\[(\w+), None\]", r"Generator[\1, None, None]"),
    (r"Async(Generator|Iterator)", r"\1"),
    (r"for (\w+) in (.+):\n +yield \1\n", r"yield from \2\n"),
    (r"Async(Client|Connection)", r"\1"),
    (r"async_connection", "connection"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\ba(close|closing|read|iter_bytes)\b", r"\1"),
    (r"Cancelling a call ends its request\. ", ""),
    (r"an asynchronous client", "a synchronous client"),
    (r" `connection\.py` is made from this file by `make python-client`\.", " Made from `async_connection.py`."),
    (r"sleep: Callable\[\[float\], Awaitable\[None\]\]", "sleep: Callable[[float], None]"),
    (
        r"The asynchronous client\. `client\.py` is made from this file by `make python-client`; a test compares them\.",
        "The synchronous client, made from `async_client.py` by `make python-client`. Threads may share it.",
    ),
)


def make_sync(source: str) -> str:
    """Return the synchronous twin of the asynchronous client."""
    for pattern, text in _WORDS:
        source = re.sub(pattern, text, source)
    return source


if __name__ == "__main__":
    for name in TWINS:
        (FOLDER / f"{name}.py").write_text(make_sync((FOLDER / f"async_{name}.py").read_text()))

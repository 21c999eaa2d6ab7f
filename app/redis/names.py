"""Names of keys, found by a pattern: for commands, not for the service."""

from app.redis.connections import connect
from app.redis.explanations import explain
from app.redis.replacement import close_client
from app.redis.timeouts import catching
from app.redis.urls import read_redis_url


async def find_names(url: str, pattern: str, timeout_seconds: float) -> set[str] | str:
    """Return the keys that match a pattern, or say why that is impossible. Raises `ValueError` if the URL is none.

    Each command may take `timeout_seconds`; all of Redis is scanned. May be cancelled.
    """
    read = read_redis_url(url)
    client = connect(url, timeout_seconds)

    async def scan() -> set[str]:
        return {name.decode(errors="replace") async for name in client.scan_iter(match=pattern, count=1000)}

    try:
        found = await catching(scan())
        return explain(found, read) if isinstance(found, Exception) else found
    finally:
        await close_client(client)

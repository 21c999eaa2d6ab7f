"""The Redis that the replicas share: its client, the prefix of all keys, and the name of this replica."""

from collections.abc import Mapping

from app.redis.client import RedisClient
from app.resilience.supervision import Part, Task


class Shared(Part, frozen=True):
    """One replica's share in Redis. Keys begin with `key_prefix`; leases are held by `replica_id`."""

    client: RedisClient
    key_prefix: str
    replica_id: str

    @property
    def channel(self) -> str:
        """The channel of the bus."""
        return f"{self.key_prefix}:bus"

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Find Redis again after an outage."""
        return {"link": self.client.probe_while_lost}

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

"""The Redis that the replicas share: its client, the prefix of all keys, and the name of this replica."""

from app.redis.client import RedisClient
from app.resilience.supervision import Part


class Shared(Part, frozen=True):
    """One replica's share in Redis. Keys begin with `key_prefix`; leases are held by `replica_id`."""

    client: RedisClient
    key_prefix: str
    replica_id: str

    @property
    def channel(self) -> str:
        """The channel of the bus."""
        return f"{self.key_prefix}:bus"

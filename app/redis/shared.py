"""The Redis that the replicas share: its client, the prefix of all keys, and the name of this replica."""

from msgspec import field

from app.redis.client import RedisClient
from app.redis.stores import Stores
from app.resilience.supervision import Part


class Shared(Part, frozen=True):
    """One replica's share in Redis. Keys begin with `key_prefix`; leases are held by `replica_id`.

    `stores` are the results on their way to Redis, for which readers of the past wait.
    """

    client: RedisClient
    key_prefix: str
    replica_id: str
    stores: Stores = field(default_factory=Stores)

    @property
    def channel(self) -> str:
        """The channel of the bus."""
        return f"{self.key_prefix}:bus"

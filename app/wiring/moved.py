"""Wiring of moves: the chases, the notices, and, if there are keys, the events of the upstream."""

import asyncio

from app.cache.replica import Replica
from app.moved.chases import Chases
from app.moved.event_keys import EventKeys
from app.moved.events import Events
from app.moved.notices import Notices
from app.redis.shared import Shared
from app.resilience.supervision import Part
from app.runtime import Runtime
from app.settings.environment import read_file, variable_name


class MovedParts(Part, frozen=True):
    """What takes notice of moves. Without keys there are no `events`."""

    notices: Notices
    events: Events | None = None


def build_moved(keys_file: str | None, replica: Replica, shared: Shared, runtime: Runtime) -> MovedParts:
    """Build it. Raises `StartError` if the file of the keys cannot be used."""
    chases = Chases(replica, shared, runtime)
    notices = Notices(replica.loader.moves, chases)
    tasks = {"marks": replica.loader.moves.keep_sharing, "chases": chases.renew_leases}
    if keys_file is None:
        return MovedParts(notices, tasks=tasks, close=chases.close)
    path, variable = keys_file, variable_name("upstream_event_keys_file")

    async def read() -> str:
        return await asyncio.to_thread(read_file, variable, path)

    keys = EventKeys(read_file(variable, path), path, read)
    runtime.metrics.event_keys_ok.watch(lambda: keys.is_ok)
    events = Events(keys, notices, shared, runtime.metrics)
    return MovedParts(notices, events, tasks={**tasks, "event_keys": keys.keep_watching}, close=chases.close)

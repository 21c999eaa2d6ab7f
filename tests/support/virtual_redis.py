"""fakeredis on the virtual clock, so that what expires and is budgeted there does so in virtual time."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import fakeredis._helpers
import fakeredis._socket._base
import fakeredis.commands_mixins.server_mixin

from tests.support.virtual_time import unix_ms

# fakeredis takes no clock: these are its modules that ask for the time.
_MODULES = (fakeredis._helpers, fakeredis._socket._base, fakeredis.commands_mixins.server_mixin)


@contextmanager
def virtual_redis_time() -> Iterator[None]:
    """Let fakeredis live in the virtual time of the running loop."""
    originals = [module.__dict__["time"] for module in _MODULES]
    clock = SimpleNamespace(time=lambda: unix_ms() / 1000, sleep=None)
    try:
        for module in _MODULES:
            module.__dict__["time"] = clock
        yield
    finally:
        for module, original in zip(_MODULES, originals, strict=True):
            module.__dict__["time"] = original

"""Wiring of access: callers and their tokens, failed logins, and the watch over the clients file."""

import asyncio
import time
from collections.abc import Mapping

from app.access.callers import Callers
from app.access.clients_file import Clients, parse_clients, read_clients_text
from app.access.clients_watch import ClientsFileWatcher
from app.access.failed_logins import FailedLogins
from app.access.tokens.jwks_source import build_jwks_cache
from app.access.tokens.verifier import TokenVerifier
from app.resilience.supervision import Part, Task
from app.runtime import Runtime
from app.settings.sections import AccessSettings


class AccessControl(Part, frozen=True):
    """Who may call. Without a clients file, there is no `watcher`."""

    callers: Callers
    failed_logins: FailedLogins
    verifier: TokenVerifier
    watcher: ClientsFileWatcher | None

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Keep the issuers' keys and the clients current."""
        watch = {} if self.watcher is None else {"clients": self.watcher.keep_watching}
        return {"issuers": self.verifier.tend, **watch}


def build_access(settings: AccessSettings, clients: Clients, workers: int, runtime: Runtime) -> AccessControl:
    """Build the access control of one of `workers` processes, which divide all rates between them."""
    verifier = TokenVerifier(lambda source, changed: build_jwks_cache(source, changed, runtime), time.time)
    verifier.replace_all(clients.issuers)
    callers = Callers(clients.callers, workers=workers, monotonic=runtime.monotonic, judge=verifier)
    failed_logins = FailedLogins(settings.wrong_keys_rate / workers, runtime.monotonic)
    watcher = _watch_clients(settings.clients_file, callers, verifier) if settings.clients_file else None
    return AccessControl(callers, failed_logins, verifier, watcher)


def _watch_clients(path: str, callers: Callers, verifier: TokenVerifier) -> ClientsFileWatcher:
    def renew(clients: Clients) -> bool:
        return callers.replace_all(clients.callers) | verifier.replace_all(clients.issuers)

    return ClientsFileWatcher(
        read=lambda: asyncio.to_thread(read_clients_text, path),
        parse=lambda text: parse_clients(text, path),
        renew=renew,
    )

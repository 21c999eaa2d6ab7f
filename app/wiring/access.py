"""Wiring of access: callers and their tokens, failed logins, and the watch over the clients file."""

import asyncio
import time
from collections.abc import Callable

from app.access.callers import Callers
from app.access.client_addresses import ClientAddresses
from app.access.clients_file import Clients, parse_clients, read_clients_text
from app.access.clients_watch import ClientsFileWatcher
from app.access.failed_logins import FailedLogins
from app.access.key_expiry import KeyExpiryWatcher
from app.access.tokens.issuers import Source
from app.access.tokens.jwks_cache import JwksCache
from app.access.tokens.jwks_source import fetch_keys
from app.access.tokens.verifier import TokenVerifier
from app.resilience.supervision import Part
from app.runtime import Runtime
from app.settings.sections import AccessSettings


class AccessControl(Part, frozen=True):
    """Who may call. Without a clients file, there is no `watcher`."""

    callers: Callers
    failed_logins: FailedLogins
    addresses: ClientAddresses
    watcher: ClientsFileWatcher | None


def build_access(settings: AccessSettings, clients: Clients, workers: int, runtime: Runtime) -> AccessControl:
    """Build the access control of one of `workers` processes, which divide all rates between them."""

    def build_jwks_cache(source: Source, changed: Callable[[], None]) -> JwksCache:
        return JwksCache(source.issuer, lambda: fetch_keys(source), changed, runtime)

    verifier = TokenVerifier(build_jwks_cache, time.time)
    verifier.replace_all(clients.issuers)
    callers = Callers(
        clients.callers, workers=workers, monotonic=runtime.monotonic, judge=verifier, now=runtime.unix_ms
    )
    failed_logins = FailedLogins(settings.wrong_keys_rate / workers, runtime.monotonic)
    watcher = _watch_clients(settings.clients_file, callers, verifier) if settings.clients_file else None
    expiry = KeyExpiryWatcher(callers.seconds_left)
    tasks = {"issuers": verifier.tend, "key expiry": expiry.keep_watching} | (
        {"clients": watcher.keep_watching} if watcher else {}
    )
    addresses = ClientAddresses(settings.trusted_proxies)
    return AccessControl(callers, failed_logins, addresses, watcher, tasks=tasks)


def _watch_clients(path: str, callers: Callers, verifier: TokenVerifier) -> ClientsFileWatcher:
    def renew(clients: Clients) -> bool:
        return callers.replace_all(clients.callers) | verifier.replace_all(clients.issuers)

    return ClientsFileWatcher(
        read=lambda: asyncio.to_thread(read_clients_text, path),
        parse=lambda text: parse_clients(text, path),
        renew=renew,
    )

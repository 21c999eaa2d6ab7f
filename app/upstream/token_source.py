"""Sources of the upstream's token, and whether the upstream accepts it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from enum import StrEnum, auto
from typing import Any, Final

import structlog
from msgspec import Struct

from app.errors import InternalError, StartError, TallygateError, TokenRefused
from app.secret import Secret
from app.upstream.envelope import UpstreamResponse
from app.upstream.transport import TOKEN_HEADER, SecretHeader, Transport

_LOOK_SECONDS: Final = 0.5
_PROBE_SECONDS: Final = 15.0

log = structlog.get_logger()


class TokenState(StrEnum):
    """The upstream's last word about the token."""

    UNTRIED = auto()
    ACCEPTED = auto()
    REFUSED = auto()


class Reason(StrEnum):
    """The presumed reason of a refusal: the upstream does not say."""

    EXPIRED = auto()
    WRONG = auto()


_SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.EXPIRED: "The upstream does not accept our token any more: it has expired or was withdrawn.",
    Reason.WRONG: "The upstream does not accept our token: it is wrong, or was withdrawn before we first used it.",
}


class Token(Struct, frozen=True, eq=False):
    """A token, valid until a time of the monotonic clock, None if unknown. Tokens are compared by identity."""

    secret: Secret
    good_until: float | None = None


class TokenSource:
    """The `current` token, and the upstream's last verdict on it; `refusal` says why it is refused.

    This source has a fixed value. `monotonic` returns seconds.
    """

    def __init__(self, current: Token | None, *, monotonic: Callable[[], float]) -> None:
        self.current = current
        self.state = TokenState.UNTRIED
        self.refusal: TallygateError | None = None
        self._monotonic: Final = monotonic
        self._accepted: Token | None = None

    @property
    def seconds_left(self) -> float | None:
        """Return for how long the token is still valid, None if unknown."""
        if self.current is None or self.current.good_until is None:
            return None
        return max(0.0, self.current.good_until - self._monotonic())

    @property
    def is_ready(self) -> bool:
        """Return whether `ready` would return immediately."""
        return True

    async def ready(self) -> None:
        """Return when there is a token. Raises the `UpstreamError` that prevents one."""

    async def renew(self) -> bool:
        """Get another token if the current one was refused. Return whether there is one now.

        Raises the `UpstreamError` that prevents one.
        """
        return self.state is not TokenState.REFUSED

    async def keep_current(self) -> None:
        """Keep the token current until cancelled."""
        await asyncio.Event().wait()

    def mark_accepted(self, token: Token | None) -> None:
        """Record that the upstream accepted a token."""
        if token is self.current:
            self._accepted = token
            self.state, self.refusal = TokenState.ACCEPTED, None

    def mark_refused(self, token: Token | None, error: TokenRefused) -> TokenRefused:
        """Record that the upstream refused a token. Return the error that says why."""
        is_old = token is not None and (token is self._accepted or self._is_over(token))
        reason = Reason.EXPIRED if is_old else Reason.WRONG
        refusal = TokenRefused(_SENTENCES[reason], code=error.code)
        if token is self.current and self.state is not TokenState.REFUSED:
            log.warning("token.refused", reason=reason)
            self.state, self.refusal = TokenState.REFUSED, refusal
        return refusal

    def _put(self, token: Token) -> None:
        """Replace the token by another one, on which the upstream has no verdict yet."""
        self.current = token
        self.state, self.refusal = TokenState.UNTRIED, None

    def _is_over(self, token: Token) -> bool:
        return token.good_until is not None and self._monotonic() >= token.good_until


class NoTokenSource(TokenSource):
    """No token, for calls that need none: a refusal then has another cause, and stays as it is."""

    def mark_refused(self, token: Token | None, error: TokenRefused) -> TokenRefused:
        """Return the error unchanged."""
        super().mark_refused(token, error)
        return error


class FileTokenSource(TokenSource):
    """A token in a file that is checked twice a second; new content is used from then on.

    `read` returns the content. If it raises `StartError`, the last good token stays.
    """

    def __init__(self, first: Secret, read: Callable[[], Secret], *, monotonic: Callable[[], float]) -> None:
        super().__init__(Token(first), monotonic=monotonic)
        self._read: Final = read
        self._trouble = ""

    async def renew(self) -> bool:
        """Check the file now."""
        self._read_if_changed()
        return await super().renew()

    async def keep_current(self) -> None:
        """Check the file periodically, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._read_if_changed()

    def _read_if_changed(self) -> None:
        trouble = ""
        try:
            secret = self._read()
        except StartError as error:
            trouble = error.detail
            if trouble != self._trouble:
                log.warning("token.file_unusable", detail=trouble)
        else:
            if self.current is None or not self.current.secret.matches(secret):
                self._put(Token(secret))
                log.info("token.changed")
        self._trouble = trouble


class AuthenticatedTransport:
    """Send requests with the token."""

    def __init__(self, transport: Transport, tokens: TokenSource) -> None:
        self._transport: Final = transport
        self._tokens: Final = tokens
        self._token: Token | None = None
        self._shown: SecretHeader

    def get(self, path: str, params: Mapping[str, str]) -> Coroutine[Any, Any, UpstreamResponse]:
        """Send one request with the current token when awaited; see `Transport.get`."""
        token = self._tokens.current
        if token is None:
            raise InternalError("There is no token to show.")
        if token is not self._token:
            self._token, self._shown = token, SecretHeader(TOKEN_HEADER, token.secret)
        return self._transport.get(path, params, self._shown)


async def probe_refused(tokens: TokenSource, ask: Callable[[], Awaitable[object]], random: Callable[[], float]) -> None:
    """Call the upstream each 15 to 30 s while the token is refused, until cancelled.

    Without this, a service that is not ready would get no requests, and never learn that the token is accepted again.
    """
    while True:
        await asyncio.sleep(_PROBE_SECONDS * (1 + random()))
        if tokens.state is TokenState.REFUSED:
            with suppress(TallygateError):
                await ask()

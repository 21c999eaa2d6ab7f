"""The upstream's token: where it comes from, and what the upstream thinks of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import StrEnum, auto
from typing import Final

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
    """Why a token is refused, as far as we can know: the upstream does not say."""

    EXPIRED = auto()
    WRONG = auto()


_SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.EXPIRED: "The upstream does not accept our token any more: it has expired or was withdrawn.",
    Reason.WRONG: "The upstream does not accept our token: it is wrong, or was withdrawn before we first used it.",
}


class Token(Struct, frozen=True, eq=False):
    """A token, good until a time of the monotonic clock, or None where that is not known. Known by its identity."""

    secret: Secret
    good_until: float | None = None


class TokenSource:
    """The token that there is, `current`, and the upstream's last word about it; `why` says why it is refused.

    This one comes as a value and stays as it is. `monotonic` gives seconds.
    """

    def __init__(self, current: Token | None, *, monotonic: Callable[[], float]) -> None:
        self.current = current
        self.state = TokenState.UNTRIED
        self.refusal: TallygateError | None = None
        self._monotonic: Final = monotonic
        self._accepted: Token | None = None

    @property
    def seconds_left(self) -> float | None:
        """Tell for how long the token is still good, None where that is not known."""
        if self.current is None or self.current.good_until is None:
            return None
        return max(0.0, self.current.good_until - self._monotonic())

    @property
    def is_ready(self) -> bool:
        """Tell whether `ready` would return at once."""
        return True

    async def ready(self) -> None:
        """Return when there is a token to show. Raises the `UpstreamError` that says why there is none."""

    async def renew(self) -> bool:
        """Look for another token if the one that there is was refused, and tell whether there is one now.

        Raises the `UpstreamError` that says why none can be had.
        """
        return self.state is not TokenState.REFUSED

    async def keep_current(self) -> None:
        """Keep the token current until cancelled."""
        await asyncio.Event().wait()

    def mark_accepted(self, token: Token | None) -> None:
        """Note that the upstream took a token."""
        if token is self.current:
            self._accepted = token
            self.state, self.refusal = TokenState.ACCEPTED, None

    def mark_refused(self, token: Token | None, error: TokenRefused) -> TokenRefused:
        """Note that the upstream refused a token, and give the error that says why."""
        is_old = token is not None and (token is self._accepted or self._is_over(token))
        reason = Reason.EXPIRED if is_old else Reason.WRONG
        refusal = TokenRefused(_SENTENCES[reason], code=error.code)
        if token is self.current and self.state is not TokenState.REFUSED:
            log.warning("token.refused", reason=reason)
            self.state, self.refusal = TokenState.REFUSED, refusal
        return refusal

    def _put(self, token: Token) -> None:
        """Replace the token by another one, of which the upstream has said nothing yet."""
        self.current = token
        self.state, self.refusal = TokenState.UNTRIED, None

    def _is_over(self, token: Token) -> bool:
        return token.good_until is not None and self._monotonic() >= token.good_until


class NoTokenSource(TokenSource):
    """None, for calls that want none: a refusal is then of something else, and stays as it is."""

    def mark_refused(self, token: Token | None, error: TokenRefused) -> TokenRefused:
        """Give the error back."""
        super().mark_refused(token, error)
        return error


class FileTokenSource(TokenSource):
    """A token that lies in a file, looked at twice a second: a new content is used from then on.

    `read` gives the content, or raises `StartError`: then the last good one stays.
    """

    def __init__(self, first: Secret, read: Callable[[], Secret], *, monotonic: Callable[[], float]) -> None:
        super().__init__(Token(first), monotonic=monotonic)
        self._read: Final = read
        self._trouble = ""

    async def renew(self) -> bool:
        """Look into the file at once."""
        self._read_if_changed()
        return await super().renew()

    async def keep_current(self) -> None:
        """Look into the file until cancelled."""
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
    """Send requests that show the token."""

    def __init__(self, transport: Transport, tokens: TokenSource) -> None:
        self._transport: Final = transport
        self._tokens: Final = tokens

    async def get(self, path: str, params: Mapping[str, str]) -> UpstreamResponse:
        """Send one request, with the token that there is now; see `Transport.get`."""
        token = self._tokens.current
        if token is None:
            raise InternalError("There is no token to show.")
        return await self._transport.get(path, params, SecretHeader(TOKEN_HEADER, token.secret))


async def probe_refused(tokens: TokenSource, ask: Callable[[], Awaitable[object]], random: Callable[[], float]) -> None:
    """Ask the upstream each 15 to 30 s while the token is refused, until cancelled.

    A service that is not ready gets no requests, which alone would show that the token is accepted again.
    """
    while True:
        await asyncio.sleep(_PROBE_SECONDS * (1 + random()))
        if tokens.state is TokenState.REFUSED:
            with suppress(TallygateError):
                await ask()

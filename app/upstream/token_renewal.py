"""Token renewal: a token minted with API key and secret, renewed before it expires, by one replica for all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from app.errors import InternalError, TallygateError, TokenRefused, UpstreamRefusal
from app.fleet.shared_value import Created, GetShared
from app.runtime import Runtime
from app.secret import Secret
from app.upstream.token_minting import Minted
from app.upstream.token_sealing import Seal, SealBroken
from app.upstream.token_source import Token, TokenSource, TokenState

_EARLIEST: Final = 0.3
_LATEST: Final = 0.2
"""A token is renewed when its remaining lifetime is between these shares of the whole, chosen at random."""

_LONGEST_REST_SECONDS: Final = 60.0
_LONGEST_WAIT_SECONDS: Final = 5.0
_FORGIVEN_SECONDS: Final = 300.0

log = structlog.get_logger()


class _Renewal(Struct, eq=False):
    """One renewal, shared by all its waiters."""

    over: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    error: TallygateError | None = None


class MintedTokenSource(TokenSource):
    """Keep a token that `mint` makes, shared with the fleet through `share`, sealed by `seal`.

    `keep_current` renews the token before it expires, and immediately on request. A refused token is replaced
    immediately; if another is refused, after a pause that doubles from a second to a minute. The same pauses follow a
    failed renewal, but short ones if the error is transient.
    """

    def __init__(self, mint: Callable[[], Awaitable[Minted]], seal: Seal, share: GetShared, runtime: Runtime) -> None:
        super().__init__(None, monotonic=runtime.monotonic)
        self._mint: Final = mint
        self._seal: Final = seal
        self._share: Final = share
        self._random: Final = runtime.random
        self._sealed = b""
        self._renew_at = 0.0
        self._wanted: Final = asyncio.Event()
        self._round = _Renewal()
        self._failures = self._strikes = 0
        self._struck_at = float("-inf")
        self._rest_until = float("-inf")
        self._trouble: TallygateError | None = None

    @property
    def is_ready(self) -> bool:
        """Return whether there is a token that is neither expired nor refused."""
        return self._is_usable()

    async def ready(self) -> None:
        """Return when there is a token that is neither expired nor refused; see `renew`."""
        if not self._is_usable():
            await self._await_round()

    async def renew(self) -> bool:
        """Wait for another token if the present one was refused. May be cancelled: the renewal goes on.

        Raises the `UpstreamError` that prevents one.
        """
        if self.state is TokenState.REFUSED:
            await self._await_round()
        return True

    async def keep_current(self) -> None:
        """Renew the token whenever that is due or requested, until cancelled."""
        while True:
            await self._until_due()
            error: TallygateError | None = InternalError("The token's renewal crashed.")
            try:
                error = await self._obtain()
            finally:
                self._end_round(error)

    def mark_refused(self, token: Token | None, error: TokenRefused) -> TokenRefused:
        """Record that the upstream refused a token that should still be valid; see `TokenSource.mark_refused`."""
        is_news = token is not None and token is self.current and self.state is not TokenState.REFUSED
        refusal = super().mark_refused(token, error)
        if is_news and token is not None and not self._is_over(token):
            self._penalise(refusal)
        return refusal

    def _is_usable(self) -> bool:
        return self.current is not None and self.state is not TokenState.REFUSED and not self._is_over(self.current)

    async def _await_round(self) -> None:
        if self._trouble is not None and (left := self._rest_until - self._monotonic()) > 0:
            raise type(self._trouble)(self._trouble.detail, retry_after_seconds=left, code=self._trouble.code)
        waited = self._round
        self._wanted.set()
        await waited.over.wait()
        if waited.error is not None:
            raise waited.error.with_traceback(None)

    async def _until_due(self) -> None:
        """Wait until another token is requested, or renewal is due. A refused token is renewed only on request."""
        at = max(self._renew_at, self._rest_until)
        wait = None if self.state is TokenState.REFUSED else max(0.0, at - self._monotonic())
        try:
            async with asyncio.timeout(wait):
                await self._wanted.wait()
        except TimeoutError:
            return

    def _end_round(self, error: TallygateError | None) -> None:
        over, self._round = self._round, _Renewal()
        self._wanted.clear()
        over.error = error
        over.over.set()

    async def _obtain(self) -> TallygateError | None:
        """Get another token than the present one. Return the error that prevented it."""
        unwanted = self._sealed
        try:
            while True:
                sealed, left_ms = await self._share(unwanted, self._make)
                try:
                    token, life_seconds = self._seal.unseal(sealed)
                except SealBroken:
                    log.warning("token.unreadable")
                    unwanted = sealed
                else:
                    self._sealed = sealed
                    # Redis says how long is left, and its clock may have been set back: never more than a whole life
                    self._take(token, life_seconds, min(left_ms / 1000, life_seconds))
                    return None
        except TallygateError as error:
            self._fail(error)
            return error

    async def _make(self) -> Created:
        minted = await self._mint()
        log.info("token.minted", life_seconds=round(minted.life_seconds))
        sealed = self._seal.seal(minted.token, minted.life_seconds)
        return sealed, max(1, int(minted.life_seconds * 1000)), round(1000 * _pause_seconds(self._strikes))

    def _take(self, token: Secret, life_seconds: float, left_seconds: float) -> None:
        good_until = self._monotonic() + left_seconds
        early_seconds = life_seconds * (_LATEST + (_EARLIEST - _LATEST) * self._random())
        self._put(Token(token, good_until))
        self._renew_at = good_until - early_seconds
        self._failures = 0
        self._rest_until = float("-inf")
        self._trouble = None
        log.info("token.changed", seconds_left=round(left_seconds))

    def _penalise(self, refusal: TokenRefused) -> None:
        """Pause before the next renewal if there was one for the same reason recently."""
        now = self._monotonic()
        if now - self._struck_at > _FORGIVEN_SECONDS:
            self._strikes = 0
        self._struck_at = now
        self._rest_until = now + _pause_seconds(self._strikes)
        self._trouble = refusal
        self._strikes += 1

    def _fail(self, error: TallygateError) -> None:
        self._failures += 1
        is_final = isinstance(error, UpstreamRefusal)
        longest = _LONGEST_REST_SECONDS if is_final else _LONGEST_WAIT_SECONDS
        pause = min(_pause_seconds(self._failures) / 2, longest) * (1 - self._random() / 4)
        self._rest_until = self._monotonic() + pause
        self._trouble = error
        if is_final and not self._is_usable():
            self.state, self.refusal = TokenState.REFUSED, error
        log.warning("token.renewal_failed", error=type(error).__name__, detail=error.detail, code=error.code)


def _pause_seconds(count: int) -> float:
    """Return the pause after so many: none, 1 s, 2 s, 4 s, … a minute."""
    return min(2.0 ** min(count - 1, 16), _LONGEST_REST_SECONDS) if count else 0.0

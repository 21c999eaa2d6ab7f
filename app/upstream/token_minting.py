"""Token minting: the upstream makes a token for a signed request (upstream.md, "The token expires")."""

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Protocol

import msgspec
import structlog

from app.decoding import Undecodable, convert
from app.errors import (
    AccessRefused,
    MalformedAnswer,
    MerchantInactive,
    RequestRefused,
    TokenRefused,
    UnknownCode,
    UnknownMerchant,
)
from app.secret import Secret
from app.upstream.calls import AcquirePermit, CallExecutor
from app.upstream.envelope import SUCCESS, UpstreamResponse, parse_envelope, read_http_date
from app.upstream.token_sealing import sign
from app.upstream.transport import SecretHeader

TOKEN_PATH: Final = "/v2/token/generate"  # noqa: S105  # a path
API_KEY_HEADER: Final = "X-BH-APIKEY"

_SUCCESSES: Final = (SUCCESS, 0)  # the document's examples and its schemas differ
_TOLERANCE_SECONDS: Final = 2.0  # between clocks: `Date` has whole seconds, and takes time to arrive
_LONGEST_LIFE_SECONDS: Final = 10 * 365 * 86_400.0

log = structlog.get_logger()


class Minted(msgspec.Struct, frozen=True):
    """A new token, and for how long from now it is valid."""

    token: Secret
    life_seconds: float


class Wire(Protocol):
    """The transport of minting."""

    async def get(self, path: str, params: Mapping[str, str], shown: SecretHeader, /) -> UpstreamResponse:
        """Send one request that shows a secret, and read its answer whole."""


class Mint:
    """Mint tokens. `turn` returns permits of the upstream's budget, `now` Unix seconds.

    If the local clock and the upstream's `Date` are more than two seconds apart, the upstream's time counts.
    """

    def __init__(
        self,
        wire: Wire,
        calls: CallExecutor,
        turn: AcquirePermit,
        *,
        api_key: Secret,
        api_secret: Secret,
        now: Callable[[], float],
    ) -> None:
        self._wire: Final = wire
        self._calls: Final = calls
        self._turn: Final = turn
        self._shown: Final = SecretHeader(API_KEY_HEADER, api_key)
        self._api_secret: Final = api_secret
        self._now: Final = now
        self._skew_seconds = 0.0

    async def mint(self) -> Minted:
        """Mint a new token. Raises the `UpstreamError` that prevented it; see `CallExecutor.execute` on cancelling."""
        before = self._skew_seconds
        try:
            return await self._calls.execute(self._ask, self._turn)
        except (TokenRefused, AccessRefused, RequestRefused, UnknownCode):
            if abs(self._skew_seconds - before) <= _TOLERANCE_SECONDS:
                raise
        return await self._calls.execute(self._ask, self._turn)

    async def _ask(self) -> Minted:
        timestamp = str(round((self._now() + self._skew_seconds) * 1000))
        params = {"timestamp": timestamp, "signature": sign(self._api_secret, f"timestamp={timestamp}")}
        answer = await self._wire.get(TOKEN_PATH, params, self._shown)
        now = self._now()
        self._note_clock(read_skew(answer.headers.get("date", ""), now))
        try:
            data = parse_envelope(answer, now, _SUCCESSES)
        except TokenRefused as error:
            raise TokenRefused(
                "The upstream makes us no token: API key or API secret is wrong.", code=error.code
            ) from None
        except (UnknownMerchant, MerchantInactive) as error:
            raise AccessRefused("The upstream makes no token for this account.", code=error.code) from None
        return read_minted(data, now + self._skew_seconds)

    def _note_clock(self, skew_seconds: float) -> None:
        if abs(skew_seconds - self._skew_seconds) > _TOLERANCE_SECONDS:
            log.warning("token.clock_off", seconds=round(skew_seconds))
        self._skew_seconds = skew_seconds


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    token: Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,4096}\Z")]
    expire_time: int | Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,16}\Z")]


def read_minted(data: object, upstream_now: float) -> Minted:
    """Parse a minted token. `upstream_now` is the upstream's time. Raises `MalformedAnswer`."""
    try:
        read = convert(data, _Data)
    except Undecodable as error:
        raise MalformedAnswer(f"The upstream's token is not as documented: {error}.") from None
    life_seconds = int(read.expire_time) / 1000 - upstream_now
    if life_seconds <= 0:
        raise MalformedAnswer("The upstream's token is not as documented: it has expired before it came.")
    return Minted(Secret(read.token), min(life_seconds, _LONGEST_LIFE_SECONDS))


def read_skew(date: str, now: float) -> float:
    """Tell the seconds by which an answer's `Date` (RFC 9110, 6.6.1) is ahead of us; 0 where it is about the same."""
    upstream = read_http_date(date)
    ahead = 0.0 if upstream is None else upstream + 0.5 - now
    return ahead if abs(ahead) > _TOLERANCE_SECONDS else 0.0

"""The clients file (TOML): read, checked, and converted to access rules."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from app.access.callers import ALL, Caller
from app.access.tokens.issuers import USUAL_ALGORITHMS, Issuer, Rule, Source, is_confidential
from app.access.tokens.jwks import Algorithm
from app.access.validity import FOREVER, Validity
from app.balances.snapshots import AccountId
from app.decoding import Undecodable, convert, parse_toml
from app.errors import StartError
from app.settings.environment import read_file, variable_name

Name = Annotated[str, Meta(min_length=1, max_length=256)]
ShortName = Annotated[str, Meta(min_length=1, max_length=64)]
KeyHash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Merchants = list[Annotated[int, Meta(ge=1, le=2**63 - 1)]] | Literal["all"]
PerSecond = Annotated[float, Meta(gt=0)]
AtOnce = Annotated[int, Meta(ge=1, le=10_000)]
Moment = Annotated[datetime, Meta(tz=True)]
"""An RFC 3339 text or a TOML date-time, both with an offset."""
Claim = Name | Annotated[list[Name], Meta(min_length=1)]

_HTTPS: Final = "https://, or http:// to this very machine and then without `bearer_file`"


class Clients(Struct, frozen=True):
    """The content: callers with keys, and issuers whose tokens are accepted."""

    callers: tuple[Caller, ...] = ()
    issuers: tuple[Issuer, ...] = ()


def parse_clients(text: str, path: str) -> Clients:
    """Check the text of the clients file at `path`. Raises `StartError` that says what is wrong, and where."""
    try:
        content = parse_toml(text)
    except Undecodable as error:
        raise StartError(f"{path} is not TOML: {error}.") from None
    try:
        file = convert(content, _ClientsFile)
    except Undecodable as error:
        raise StartError(f"{path}: {error}.") from None
    if not file.client and not file.issuer:
        raise StartError(f"{path} names no client. Make one with: tallygate key new --client NAME --merchants all")
    callers = tuple(client.as_caller() for client in file.client)
    issuers = tuple(issuer.as_issuer() for issuer in file.issuer)
    _check_unique(path, "clients", "name", [caller.name for caller in callers])
    _check_unique(path, "clients", "key_sha256", [digest for caller in callers for digest in caller.key_hashes])
    _check_unique(path, "issuers", "name", [issuer.name for issuer in issuers])
    _check_unique(path, "issuers", "issuer", [issuer.source.issuer for issuer in issuers])
    for caller in callers:
        if caller.name.partition("/")[0] in {issuer.name for issuer in issuers}:
            raise StartError(f"{path}: the client {caller.name!r} has a name like those of an issuer's callers.")
    return Clients(callers, issuers)


def _check_unique(path: str, whose: str, what: str, values: Sequence[str]) -> None:
    if len(set(values)) < len(values):
        raise StartError(f"{path}: two {whose} have the same {what}.")


def _as_keys(merchants: Merchants) -> frozenset[AccountId] | Literal["all"]:
    return ALL if merchants == ALL else frozenset(AccountId(str(merchant)) for merchant in merchants)


def _as_ms(moment: datetime | None, otherwise: int) -> int:
    return otherwise if moment is None else int(moment.timestamp() * 1000)


def _as_path(claim: str | list[str]) -> tuple[str, ...]:
    return (claim,) if isinstance(claim, str) else tuple(claim)


class _Client(Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[client]]`."""

    name: ShortName
    key_sha256: KeyHash | Annotated[list[KeyHash], Meta(min_length=1, max_length=2)]
    merchants: Merchants = field(default_factory=list)
    portfolio: bool = False
    moves: bool = False
    rate: PerSecond | None = None
    concurrency: AtOnce | None = None
    streams: AtOnce | None = None
    not_before: Moment | None = None
    expires: Moment | None = None

    def __post_init__(self) -> None:
        if self.not_before is not None and self.expires is not None and self.not_before >= self.expires:
            raise ValueError("Expected `not_before` to be earlier than `expires`")

    def as_caller(self) -> Caller:
        """Convert it to the access rules' form."""
        first, *others = [self.key_sha256] if isinstance(self.key_sha256, str) else self.key_sha256
        other = others[0] if others else None
        merchants = _as_keys(self.merchants)
        validity = Validity(_as_ms(self.not_before, 0), _as_ms(self.expires, FOREVER))
        return Caller(
            self.name,
            first,
            merchants,
            self.portfolio,
            self.rate,
            self.concurrency,
            other,
            self.streams,
            validity,
            self.moves,
        )


class _Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """An `[[issuer.rule]]`."""

    subject: Name | None = None
    group: Name | None = None
    merchants: Merchants | None = None
    merchants_claim: Claim | None = None
    portfolio: bool = False
    moves: bool = False
    rate: PerSecond | None = None
    concurrency: AtOnce | None = None
    streams: AtOnce | None = None

    def __post_init__(self) -> None:
        if self.merchants is not None and self.merchants_claim is not None:
            raise ValueError("Expected `merchants` or `merchants_claim`, not both")

    def as_rule(self) -> Rule:
        """Convert it to the access rules' form."""
        return Rule(
            subject=self.subject,
            group=self.group,
            merchants=_as_keys(self.merchants or []),
            merchants_claim=None if self.merchants_claim is None else _as_path(self.merchants_claim),
            portfolio=self.portfolio,
            moves=self.moves,
            rate=self.rate,
            concurrency=self.concurrency,
            streams=self.streams,
        )


class _Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """An `[[issuer]]`."""

    name: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
    issuer: Annotated[str, Meta(min_length=1, max_length=1024)]
    audience: Name | Annotated[list[Name], Meta(min_length=1)]
    rule: Annotated[list[_Rule], Meta(min_length=1)]
    algorithms: Annotated[list[Algorithm], Meta(min_length=1)] = field(default_factory=lambda: [*USUAL_ALGORITHMS])
    leeway_seconds: Annotated[float, Meta(ge=0, le=300)] = 30
    groups_claim: Claim = "groups"
    jwks_url: str | None = None
    jwks_file: str | None = None
    ca_file: str | None = None
    bearer_file: str | None = None

    def __post_init__(self) -> None:
        if self.jwks_url is not None and self.jwks_file is not None:
            raise ValueError("Expected `jwks_url` or `jwks_file`, not both")
        if self.jwks_file is not None:
            return
        name, url = ("issuer", self.issuer) if self.jwks_url is None else ("jwks_url", self.jwks_url)
        if not is_confidential(url) or (self.bearer_file is not None and not url.startswith("https://")):
            raise ValueError(f"Expected `{name}` to be {_HTTPS}")

    def as_issuer(self) -> Issuer:
        """Convert it to the access rules' form."""
        return Issuer(
            name=self.name,
            source=Source(self.issuer, self.jwks_url, self.jwks_file, self.ca_file, self.bearer_file),
            audience=frozenset(_as_path(self.audience)),
            rules=tuple(rule.as_rule() for rule in self.rule),
            algorithms=tuple(self.algorithms),
            leeway_seconds=self.leeway_seconds,
            groups_claim=_as_path(self.groups_claim),
        )


class _ClientsFile(Struct, frozen=True, forbid_unknown_fields=True):
    client: list[_Client] = field(default_factory=list)
    issuer: list[_Issuer] = field(default_factory=list)


def read_clients(path: str) -> Clients:
    """Read and check the clients file. Raises `StartError` that says what is wrong, and where."""
    return parse_clients(read_clients_text(path), path)


def read_clients_path(environment: Mapping[str, str]) -> str:
    """Return the path of the clients file, for commands that need no other setting. Raises `StartError`."""
    path = environment.get(variable_name("clients_file"), "").strip()
    if not path:
        raise StartError(f"{variable_name('clients_file')} is not set, or empty.")
    return path


def read_clients_text(path: str) -> str:
    """Read the clients file. Raises `StartError`."""
    return read_file("TALLYGATE_CLIENTS_FILE", path)

"""Trusted issuers of tokens, and the rules that map verified claims to rights."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from app.access.callers import Caller
from app.balances.snapshots import AccountId
from app.decoding import Undecodable, convert
from app.errors import Unauthenticated

USUAL_ALGORITHMS: Final = ("RS256", "ES256")
MAX_SUBJECT_CHARACTERS: Final = 256

Path = tuple[str, ...]
"""The path of a claim: the names of the objects around it, then its own."""

_MerchantIds = list[Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,18}\Z")] | Annotated[int, Meta(ge=1, le=2**63 - 1)]]


class Source(Struct, frozen=True):
    """The location of an issuer's keys: a URL, a file, or, without either, what its discovery document says.

    `ca_file` is trusted instead of the usual authorities, and the text of `bearer_file` is sent to the issuer.
    """

    issuer: str
    jwks_url: str | None = None
    jwks_file: str | None = None
    ca_file: str | None = None
    bearer_file: str | None = None


class Rule(Struct, frozen=True):
    """The rights of tokens by subject and groups. A subject may end in `*`. `merchants_claim` lists the merchants."""

    subject: str | None = None
    group: str | None = None
    merchants: frozenset[AccountId] | Literal["all"] = frozenset()
    merchants_claim: Path | None = None
    portfolio: bool = False
    moves: bool = False
    rate: float | None = None
    concurrency: int | None = None
    streams: int | None = None

    def fits(self, subject: str, groups: frozenset[str]) -> bool:
        """Return whether this rule applies to such a token."""
        if self.group is not None and self.group not in groups:
            return False
        if self.subject is None:
            return True
        if self.subject.endswith("*"):
            return subject.startswith(self.subject[:-1])
        return subject == self.subject


class Issuer(Struct, frozen=True):
    """An issuer: its name, audience, signature algorithms, and the rights of its tokens."""

    name: str
    source: Source
    audience: frozenset[str]
    rules: tuple[Rule, ...]
    algorithms: tuple[str, ...] = USUAL_ALGORITHMS
    leeway_seconds: float = 30
    groups_claim: Path = ("groups",)

    def caller_for(self, subject: str, claims: Mapping[str, Any]) -> Caller:
        """Return the caller of verified claims by the first rule that fits. Without one it may read nothing.

        Raises `Unauthenticated` if the subject cannot be a name, or the claim of merchants is unreadable.
        """
        if not subject or len(subject) > MAX_SUBJECT_CHARACTERS or not subject.isprintable():
            raise Unauthenticated("The subject of this token cannot be a name.")
        name = f"{self.name}/{subject}"
        groups = _read_groups(_follow(claims, self.groups_claim))
        rule = next((rule for rule in self.rules if rule.fits(subject, groups)), None)
        if rule is None:
            return Caller(name, "", frozenset())
        merchants = rule.merchants
        if rule.merchants_claim is not None:
            merchants = _read_merchants(_follow(claims, rule.merchants_claim))
        return Caller(
            name,
            "",
            merchants,
            rule.portfolio,
            rule.rate,
            rule.concurrency,
            streams=rule.streams,
            moves=rule.moves,
        )


def is_confidential(url: str) -> bool:
    """Return whether no one can read or change what is sent to a URL: HTTPS, or HTTP within this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises if it is none
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _follow(claims: object, path: Path) -> object:
    for step in path:
        claims = claims.get(step) if isinstance(claims, dict) else None
    return claims


def _read_groups(claim: object) -> frozenset[str]:
    """Parse a list of names, or names separated by spaces, as scopes are (RFC 8693, 4.2)."""
    names = claim.split() if isinstance(claim, str) else claim
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def _read_merchants(claim: object) -> frozenset[AccountId]:
    """Parse a list of ids, as numbers or digits. A missing claim lists none."""
    try:
        ids = convert([] if claim is None else claim, _MerchantIds)
    except Undecodable:
        raise Unauthenticated("The claim that names the merchants is no list of merchant ids.") from None
    return frozenset(AccountId(str(merchant)) for merchant in ids)

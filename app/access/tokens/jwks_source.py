"""Sources of issuers' keys: a file, a URL, or what an issuer's discovery document says."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from app.access.tokens.issuers import Source, is_confidential
from app.access.tokens.jwks import Jwks, parse_jwks
from app.decoding import Undecodable, decode_json
from app.egress.documents import fetch_document
from app.errors import IssuerUnavailable
from app.files import read_regular_file
from app.secret import Secret

DEADLINE_SECONDS: Final = 5


class _Discovery(Struct, frozen=True):
    """OpenID Connect Discovery 1.0, section 3."""

    issuer: str
    jwks_uri: str


async def fetch_keys(source: Source) -> Jwks:
    """Fetch the keys of an issuer, within `DEADLINE_SECONDS`. Raises `IssuerUnavailable` that says what is wrong."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return parse_jwks(await _read(source))
    except TimeoutError:
        raise IssuerUnavailable("There was no answer in time.") from None


async def _read(source: Source) -> bytes:
    if source.jwks_file is not None:
        return await _read_file(source.jwks_file)
    if source.jwks_url is not None:
        return await _fetch(source.jwks_url, source)
    found = await _discover(source)
    if not is_confidential(found):
        raise IssuerUnavailable("Its discovery document leads to where anybody may listen.")
    return await _fetch(found, source)


async def _discover(source: Source) -> str:
    where = f"{source.issuer.removesuffix('/')}/.well-known/openid-configuration"
    try:
        found = decode_json(await _fetch(where, source), _Discovery)
    except Undecodable:
        raise IssuerUnavailable("What it publishes is no discovery document.") from None
    if found.issuer != source.issuer:
        raise IssuerUnavailable("The discovery document is another issuer's.")
    return found.jwks_uri


async def _fetch(url: str, source: Source) -> bytes:
    """Fetch a document. The bearer token is sent only where the clients file says, and to no discovered origin."""
    bearer = None
    if source.bearer_file is not None and _origin(url) == _origin(source.jwks_url or source.issuer):
        bearer = await _read_bearer(source.bearer_file)
    return await fetch_document(url, ca_file=source.ca_file, bearer=bearer)


async def _read_bearer(path: str) -> Secret:
    text = (await _read_file(path)).decode("latin-1").strip()
    if not text.isascii() or not text.isprintable():
        raise IssuerUnavailable(f"{path} is not printable ASCII.")
    return Secret(text)


async def _read_file(path: str) -> bytes:
    """Read a file again each time, since Kubernetes replaces tokens and keys while we run."""
    try:
        return await asyncio.to_thread(read_regular_file, path)
    except OSError as error:
        raise IssuerUnavailable(f"{path} cannot be read ({error.strerror}).") from None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc

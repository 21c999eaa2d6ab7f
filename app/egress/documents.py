"""Small documents of issuers, each over a connection of its own."""

import asyncio
import ssl
from typing import Final

import httpx

from app.egress.connection import BodyTooLong, ExchangeFailed
from app.egress.transport import PooledTransport, describe_cause
from app.egress.trust import trust_authorities
from app.errors import IssuerUnavailable
from app.secret import Secret

MAX_DOCUMENT_BYTES: Final = 256 * 1024


async def fetch_document(url: str, *, ca_file: str | None = None, bearer: Secret | None = None) -> bytes:
    """Read a small document of an issuer, over a connection of its own, showing nothing of us but `bearer`.

    `ca_file` is trusted instead of the usual authorities. No redirect is followed, and no deadline set. May be cancelled
    and repeated. Raises `IssuerUnavailable`.
    """
    shown = {} if bearer is None else {"Authorization": f"Bearer {bearer.reveal()}"}
    try:
        where = httpx.URL(url)
        trust = await asyncio.to_thread(_trust, ca_file)
        async with (
            httpx.AsyncClient(
                transport=PooledTransport(url, trust, MAX_DOCUMENT_BYTES),
                timeout=None,  # noqa: S113  # the caller's deadline bounds it
                trust_env=False,
            ) as client,
            client.stream(
                "GET", where, headers={"Accept-Encoding": "identity", "User-Agent": "tallygate", **shown}
            ) as got,
        ):
            if got.status_code != httpx.codes.OK:
                raise IssuerUnavailable(f"It answered with status {got.status_code}.")
            return b"".join([chunk async for chunk in got.aiter_raw()])
    except BodyTooLong:
        raise IssuerUnavailable(f"Its answer is larger than {MAX_DOCUMENT_BYTES} bytes.") from None
    except (httpx.HTTPError, httpx.InvalidURL, ExchangeFailed, OSError, ValueError) as error:
        raise IssuerUnavailable(f"It cannot be reached: {describe_cause(error).public}.") from error


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Read whom to trust. Raises `IssuerUnavailable` if the file is gone or no good."""
    if ca_file is None:
        return trust_authorities()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise IssuerUnavailable(f"{ca_file} cannot be used as authorities ({error.strerror}).") from None

"""Trust in TLS peers: the authorities, and the client certificate that we show."""

import errno
import ssl
from functools import cache
from pathlib import Path
from typing import Final

import httpx
import structlog
from msgspec import Struct

from app.errors import StartError
from app.files import read_regular_file

log = structlog.get_logger()


class TrustFiles(Struct, frozen=True):
    """Files in PEM. `ca` replaces the usual authorities; `certificate` may hold its key, or `key` does."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class Trust:
    """Give the TLS settings of a new connection, read again whenever one of the files has changed.

    A file that cannot be used any more leaves the last good settings in force, with one log line for each change.
    """

    def __init__(self, files: TrustFiles) -> None:
        """Read the files. Raises `StartError` that names the setting of the one that cannot be used."""
        self._files: Final = files
        self._seen = _stamp(files)
        self._context = build_trust(files)

    def context(self) -> ssl.SSLContext:
        """Give the settings for a connection that is opened now."""
        if (stamp := _stamp(self._files)) != self._seen:
            self._seen = stamp
            try:
                self._context = build_trust(self._files)
            except StartError as error:
                log.warning("trust.unusable", detail=error.detail)
            else:
                log.info("trust.renewed")
        return self._context


@cache
def trust_authorities() -> ssl.SSLContext:
    """Trust the usual authorities. They are read once in a process, which takes some hundredths of a second."""
    return httpx.create_ssl_context(trust_env=False)


def build_trust(files: TrustFiles) -> ssl.SSLContext:
    """Read certificates. Raises `StartError` that names the setting of the one that cannot be used."""
    if files == TrustFiles():
        return trust_authorities()
    try:
        context = httpx.create_ssl_context(trust_env=False) if files.ca is None else _trust_file(files.ca)
    except (OSError, ValueError) as error:
        raise StartError(f"TALLYGATE_UPSTREAM_CA_FILE: {files.ca} cannot be used ({_why(error)}).") from None
    for setting, path in (("CERT", files.certificate), ("KEY", files.key)):
        _check_file(f"TALLYGATE_UPSTREAM_{setting}_FILE", path)
    if files.certificate is not None:
        try:
            context.load_cert_chain(files.certificate, files.key, password=_refuse_password)
        except (OSError, ValueError) as error:
            place = files.certificate if files.key is None else f"{files.certificate} with {files.key}"
            raise StartError(f"TALLYGATE_UPSTREAM_CERT_FILE: {place} cannot be used ({_why(error)}).") from None
    return context


def _trust_file(path: str) -> ssl.SSLContext:
    """OpenSSL gets the content, since it would wait for a pipe for ever. Comments may be in any language."""
    text = read_regular_file(path).decode("ascii", "ignore")
    if not text:  # for ssl this means the usual authorities
        raise OSError(errno.EINVAL, "it is empty")
    return ssl.create_default_context(cadata=text)


def _check_file(setting: str, path: str | None) -> None:
    """Raise `StartError` for what OpenSSL must not open: it opens these files itself, and would wait for a pipe."""
    try:
        if path is not None:
            read_regular_file(path)
    except OSError as error:
        raise StartError(f"{setting}: {path} cannot be used ({_why(error)}).") from None


def _refuse_password() -> str:
    """OpenSSL would ask the terminal for it."""
    raise ValueError("the key has a password")


def _why(error: Exception) -> str:
    match error:
        case ssl.SSLError(reason=reason):
            return (reason or "not PEM").lower().replace("_", " ")
        case OSError(strerror=reason) if reason:
            return reason
        case _:
            return str(error)


def _stamp(files: TrustFiles) -> tuple[tuple[float, int, int] | None, ...]:
    return tuple(_stat(path) for path in (files.ca, files.certificate, files.key) if path is not None)


def _stat(path: str) -> tuple[float, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime, found.st_size, found.st_ino

"""Settings: the only reader of the environment and of the clients file. A wrong one names itself."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from app.balances.snapshots import AccountId
from app.errors import StartError
from app.secret import Secret
from app.telemetry.logs import LogFormat, LogLevel

PREFIX: Final = "TALLYGATE_"

_HOST_AND_PORT: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"(https?)://(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_MAX_PORT: Final = 65535

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
SomeSeconds = Annotated[float, Meta(gt=0, le=3_600)]
PerSecond = Annotated[float, Meta(gt=0, le=100_000)]

Merchants = Annotated[str, Meta(pattern=r"\A(?:discover|[1-9][0-9]{0,18}(?:,[1-9][0-9]{0,18})*)\Z")]


class Audited(StrEnum):
    """Which requests are written down."""

    NONE = "none"
    REFUSED = "refused"
    ALL = "all"


class Settings(Struct, frozen=True, kw_only=True):
    """All settings, checked. Times are seconds, rates are calls a second; the README tells what each does."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    upstream_url: str
    upstream_token: Secret | None = None
    upstream_token_file: str | None = None
    upstream_api_key: Secret | None = None
    upstream_api_secret: Secret | None = None
    upstream_timeout_seconds: SomeSeconds = 5
    upstream_rate: PerSecond = 10
    upstream_burst: Annotated[float, Meta(ge=1, le=100_000)] | None = None
    upstream_concurrency: Count = 16
    redis_url: Secret | None = None
    redis_timeout_seconds: SomeSeconds = 0.05
    clients_file: str
    wrong_keys_rate: PerSecond = 5
    cors_origins: str = ""
    audit: Audited = Audited.REFUSED
    request_timeout_seconds: SomeSeconds = 30
    connections: Count = 1000
    fresh_seconds: Seconds = 5
    stale_while_revalidate_seconds: Seconds = 30
    stale_if_error_seconds: Seconds = 600
    absent_seconds: Seconds = 10
    merchants: Merchants = "discover"
    directory_refresh_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 300
    reconcile_every_seconds: Seconds = 0
    otlp_endpoint: Annotated[str, Meta(pattern=r"\Ahttps?://[^/?#@]+/?\Z")] | None = None
    metrics_port: Port | None = None
    drain_seconds: Annotated[float, Meta(ge=0, le=600)] = 5
    log_format: LogFormat = LogFormat.JSON
    log_level: LogLevel = LogLevel.INFO
    plain: bool = False

    @property
    def known_merchants(self) -> tuple[AccountId, ...] | None:
        """Give the merchants that are set, each once; None if they are to be discovered."""
        return None if self.merchants == "discover" else tuple(map(AccountId, dict.fromkeys(self.merchants.split(","))))


_SECRETS: Final = ("upstream_token", "upstream_api_key", "upstream_api_secret", "redis_url")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read and check the settings. Raises `StartError` with the name of the variable that is wrong or missing."""
    given = {name: value for name in Settings.__struct_fields__ if (value := environment.get(PREFIX + name.upper()))}
    for name in _SECRETS:
        given |= _read_secret_file(name, given, environment)
    for field in msgspec.structs.fields(Settings):
        if field.required and field.name not in given:
            raise StartError(f"{variable_name(field.name)} is not set.")
    _check_one_token_source(given)
    try:
        settings = msgspec.convert(given, Settings, strict=False, dec_hook=_make_secret)
    except msgspec.ValidationError as error:
        raise StartError(_name_setting(error)) from None
    _check_upstream_url(settings.upstream_url)
    _check_cors_origins(settings.cors_origins)
    return settings


def unknown_settings(environment: Mapping[str, str]) -> Iterable[tuple[str, str | None]]:
    """Give the variables with our prefix that mean nothing to us, each with the one that may be meant."""
    known = {name.upper() for name in (*Settings.__struct_fields__, *(f"{secret}_file" for secret in _SECRETS))}
    for name in sorted(environment):
        ours = name.removeprefix(PREFIX)
        if ours not in {name, *known}:
            near = difflib.get_close_matches(ours, known, 1, 0.8)
            yield name, PREFIX + near[0] if near else None


def read_token_file(path: str) -> Secret:
    """Read the upstream's token from its file, again. Raises `StartError` that says what is wrong with it."""
    text = _read_secret_text("TALLYGATE_UPSTREAM_TOKEN_FILE", path)
    if not _is_header_text(text):
        raise StartError(f"TALLYGATE_UPSTREAM_TOKEN_FILE: {path} is not printable ASCII.")
    return Secret(text)


def variable_name(name: str) -> str:
    """Give the environment variable of a setting."""
    return PREFIX + name.upper()


def _check_one_token_source(given: Collection[str]) -> None:
    has_token = "upstream_token" in given
    has_key, has_secret = "upstream_api_key" in given, "upstream_api_secret" in given
    choice = (
        "TALLYGATE_UPSTREAM_TOKEN, TALLYGATE_UPSTREAM_TOKEN_FILE, or TALLYGATE_UPSTREAM_API_KEY with "
        "TALLYGATE_UPSTREAM_API_SECRET (each also as …_FILE)"
    )
    if has_token and (has_key or has_secret):
        raise StartError(f"The upstream's token has more than one source: choose one of {choice}.")
    if has_key != has_secret:
        there, missing = ("KEY", "SECRET") if has_key else ("SECRET", "KEY")
        raise StartError(f"TALLYGATE_UPSTREAM_API_{there} is set, TALLYGATE_UPSTREAM_API_{missing} is not.")
    if not has_token and not has_key:
        raise StartError(
            f"TALLYGATE_UPSTREAM_TOKEN is not set, nor TALLYGATE_UPSTREAM_TOKEN_FILE: set one of {choice}."
        )


def _read_secret_file(name: str, given: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    variable = variable_name(name) + "_FILE"
    path = environment.get(variable)
    if not path:
        return {}
    if name in given:
        raise StartError(f"{variable_name(name)} and {variable} are both set: choose one.")
    return {name: _read_secret_text(variable, path)}


def _read_secret_text(variable: str, path: str) -> str:
    text = read_file(variable, path).strip()
    if not text:
        raise StartError(f"{variable}: {path} is empty.")
    return text


def read_file(variable: str, path: str) -> str:
    """Read a file that a setting names. Raises `StartError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise StartError(f"{variable}: {path} cannot be read ({reason}).") from None


def _make_secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str) and _is_header_text(value):
        return Secret(value)
    raise ValueError("Expected printable ASCII")


def _is_header_text(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _name_setting(error: msgspec.ValidationError) -> str:
    """Turn msgspec's `… - at `$.port`` into a sentence about the variable, without its value."""
    message, _, place = str(error).partition(" - at `$.")
    hint = (
        " (Kubernetes sets such a variable for a Service of our name: enableServiceLinks: false)"
        if place == "port`"
        else ""
    )
    return f"{variable_name(place.rstrip('`'))} is wrong: {message[:1].lower()}{message[1:]}{hint}."


def _check_upstream_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(_HOST_AND_PORT.fullmatch(parts.netloc)) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment or parts.path.strip("/"):
        raise StartError("TALLYGATE_UPSTREAM_URL wants an origin like https://api.example.com, without path or user.")


def _check_cors_origins(text: str) -> None:
    try:
        read_origins(text)
    except ValueError as error:
        raise StartError(
            f"TALLYGATE_CORS_ORIGINS wants origins like https://app.example.com, separated by commas: {error}."
        ) from None


def read_origins(text: str) -> frozenset[str]:
    """Read origins separated by commas. Raises `ValueError` that says which of them no browser would ever send.

    A browser writes scheme and host in lower case, and no port where it is the default one (RFC 6454, 6.2).
    """
    origins = [origin.strip(" ") for origin in text.split(",")] if text else []
    for number, origin in enumerate(origins, 1):
        if not _is_origin(origin):
            raise ValueError(f"number {number} is not an origin as a browser writes it")
    return frozenset(origins)


def _is_origin(text: str) -> bool:
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        return False
    scheme, port = parts[1], parts[3]
    return port is None or (int(port) <= _MAX_PORT and port != _DEFAULT_PORTS[scheme])

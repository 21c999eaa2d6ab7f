"""Environment variables, read into the sections of the settings. A wrong one names itself."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from enum import EnumMeta
from ipaddress import ip_network
from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo, fields, replace

from app.balances.merchants import MAX_MERCHANT_ID
from app.errors import StartError
from app.files import read_regular_file
from app.secret import Secret
from app.settings.sections import HistorySettings, RedisSettings, Settings, StoreSettings
from app.settings.upstream_url import check_upstream_url

PREFIX: Final = "TALLYGATE_"

_ORIGIN: Final = re.compile(r"(https?)://(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_MAX_PORT: Final = 65535

_SECTIONS: Final[Mapping[str, type]] = {section.name: section.type for section in fields(Settings)}
_SETTINGS: Final[tuple[FieldInfo, ...]] = tuple(one for section in _SECTIONS.values() for one in fields(section))
_WANTED: Final = {
    "merchants": "`discover`, or merchant ids separated by commas, as in 12345,777",
    "otlp_endpoint": "a URL like http://collector:4318, without a path",
    "plain": "true or false",
}
_SECRETS: Final = ("upstream_token", "upstream_api_key", "upstream_api_secret", "redis_url", "history_redis_url")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read and check the settings. Raises `StartError` with the name of the variable that is wrong or missing."""
    given = _read_given(environment, _SECRETS)
    for setting in _SETTINGS:
        if setting.required and setting.encode_name not in given:
            raise StartError(f"{variable_name(setting.encode_name)} is not set.")
    _check_one_token_source(given)
    origins, proxies = given.pop("cors_origins", ""), given.pop("trusted_proxies", "")
    settings = Settings(**{name: _convert(given, section) for name, section in _SECTIONS.items()})
    check_upstream_url(settings.upstream.url)
    for merchant in settings.directory.known_merchants or ():
        if int(merchant) > MAX_MERCHANT_ID:
            raise StartError(f"TALLYGATE_MERCHANTS has {merchant}, which is above {MAX_MERCHANT_ID}, the largest id.")
    if settings.telemetry.metrics_port == settings.http.port:
        raise StartError(
            f"TALLYGATE_METRICS_PORT and TALLYGATE_PORT are both {settings.http.port}: choose another one."
        )
    return replace(
        settings,
        http=replace(settings.http, cors_origins=_read_cors_origins(origins)),
        access=replace(settings.access, trusted_proxies=_read_networks(proxies)),
    )


def read_store(environment: Mapping[str, str]) -> StoreSettings:
    """Read where the history is, and nothing else. Raises `StartError`."""
    given = _read_given(environment, ("redis_url", "history_redis_url"))
    redis, own = _convert(given, RedisSettings), _convert(given, HistorySettings)
    name = "redis_url" if own.redis_url is None else "history_redis_url"
    if name not in given:
        raise StartError("TALLYGATE_REDIS_URL is not set, nor TALLYGATE_HISTORY_REDIS_URL: where is the history?")
    variable = variable_name(name) + ("_FILE" if f"{name}_file" in given else "")
    return StoreSettings(replace(redis, url=own.redis_url or redis.url), variable, given.get("upstream_url"))


def _read_given(environment: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    """Read what is set, and those secrets that have a file."""
    _check_none_empty(environment)
    names = [setting.encode_name for setting in _SETTINGS]
    given = {name: value for name in names if (value := environment.get(variable_name(name)))}
    given |= {setting.encode_name: given[setting.encode_name].lower() for setting in _choices(given)}
    for name in secrets:
        given |= _read_secret_file(name, given, environment)
    return given


def unknown_settings(environment: Mapping[str, str]) -> Iterable[tuple[str, str | None]]:
    """Give the variables with our prefix that mean nothing to us, each with the one that may be meant."""
    known = {name.upper() for name in _known_names()}
    for name in sorted(environment):
        ours = name.removeprefix(PREFIX)
        if ours not in {name, *known}:
            near = difflib.get_close_matches(ours, known, 1, 0.8)
            yield name, PREFIX + near[0] if near else None


def _known_names() -> Iterable[str]:
    return (*(setting.encode_name for setting in _SETTINGS), *(f"{secret}_file" for secret in _SECRETS))


def read_token_file(path: str) -> Secret:
    """Read the upstream's token from its file, again. Raises `StartError` that says what is wrong with it."""
    text = _read_secret_text("TALLYGATE_UPSTREAM_TOKEN_FILE", path)
    if not _is_header_text(text):
        raise StartError(f"TALLYGATE_UPSTREAM_TOKEN_FILE: {path} is not printable ASCII.")
    return Secret(text)


def read_redis_url_file(path: str, variable: str) -> Secret:
    """Read the URL of a Redis again from the file that a variable names. Raises `StartError` if it cannot be used."""
    text = _read_secret_text(variable, path)
    if not _is_header_text(text):
        raise StartError(f"{variable}: {path} is not printable ASCII.")
    return Secret(text)


def variable_name(name: str) -> str:
    """Give the environment variable of a setting."""
    return PREFIX + name.upper()


def _check_none_empty(environment: Mapping[str, str]) -> None:
    """Refuse an empty variable: a default in its place would surprise the operator."""
    for name in map(variable_name, _known_names()):
        if name in environment and not environment[name].strip():
            raise StartError(f"{name} is empty: set it, or leave it out.")


def _choices(given: Collection[str]) -> Iterable[FieldInfo]:
    """Give those of the given settings that are one of several words."""
    return (setting for setting in _SETTINGS if setting.encode_name in given and isinstance(setting.type, EnumMeta))


def _convert(given: Mapping[str, str], section: type) -> Any:
    try:
        return msgspec.convert(given, section, strict=False, dec_hook=_make_secret)
    except msgspec.ValidationError as error:
        raise StartError(_name_setting(error)) from None


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
        return read_regular_file(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
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
    name = place.rstrip("`")
    if wanted := _wanted(name):
        return f"{variable_name(name)} wants {wanted}."
    hint = (
        " (Kubernetes sets such a variable for a Service of our name: enableServiceLinks: false)"
        if name == "port"
        else ""
    )
    return f"{variable_name(name)} is wrong: {message[:1].lower()}{message[1:]}{hint}."


def _wanted(name: str) -> str | None:
    """Return in words what a setting wants, where msgspec would show a pattern or a type."""
    for setting in _choices([name]):
        return "one of " + ", ".join(setting.type)
    return _WANTED.get(name)


def _read_cors_origins(text: str) -> frozenset[str]:
    try:
        return read_origins(text)
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


def _read_networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(network.strip(" "))) for network in text.split(",")) if text else ()
    except ValueError:
        raise StartError(
            "TALLYGATE_TRUSTED_PROXIES wants networks like 10.1.2.0/24 or 2001:db8::/64, separated by commas."
        ) from None


def _is_origin(text: str) -> bool:
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        return False
    scheme, port = parts[1], parts[3]
    return port is None or (int(port) <= _MAX_PORT and port != _DEFAULT_PORTS[scheme])

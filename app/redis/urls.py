"""Redis URLs: read strictly, so that what a URL says is done, and what is not done is refused by name."""

import re
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

from msgspec import Struct

_URL: Final = re.compile(
    r"(?P<scheme>[a-z+]+)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?", re.IGNORECASE
)
_HOST: Final = re.compile(r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<address>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?")
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_MAX_PORT: Final = 65535

_SAME: Final = {"ssl_ca_certs": "ca", "ssl_certfile": "cert", "ssl_keyfile": "key"}
"""redis-py's names of our options."""

_ALWAYS_CHECKED: Final = frozenset({"ssl_cert_reqs", "ssl_check_hostname"})
"""redis-py's options that could switch off a check of TLS."""

_LOGIN: Final = frozenset({"username", "password", "client_name"})
_OPTIONS: Final = _LOGIN | {"db", "sentinel_username", "sentinel_password", "ca", "cert", "key"}


class Kind(Enum):
    """How the servers of a URL belong together."""

    SERVER = auto()
    SENTINEL = auto()
    CLUSTER = auto()


class Host(NamedTuple):
    """A host name or address, and a port."""

    name: str
    port: int


class Login(Struct, frozen=True):
    """Who we are to a server. Its text shows no password."""

    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Login(***)"


class Tls(Struct, frozen=True):
    """The files of a TLS connection: an authority besides the system's, and our own certificate with its key."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class RedisUrl(Struct, frozen=True, kw_only=True):
    """What a URL says. `socket` is the path of a Unix socket, `primary` the name that Sentinels know."""

    kind: Kind
    hosts: tuple[Host, ...] = ()
    socket: str | None = None
    primary: str = ""
    db: int = 0
    login: Login = Login()
    sentinel_login: Login = Login()
    client_name: str | None = None
    tls: Tls | None = None


_SCHEMES: Final[Mapping[str, tuple[Kind, bool, int]]] = {
    "redis": (Kind.SERVER, False, 6379),
    "rediss": (Kind.SERVER, True, 6379),
    "redis+sentinel": (Kind.SENTINEL, False, 26379),
    "rediss+sentinel": (Kind.SENTINEL, True, 26379),
    "redis+cluster": (Kind.CLUSTER, False, 6379),
    "rediss+cluster": (Kind.CLUSTER, True, 6379),
}
"""The kind of each scheme, whether it has TLS, and its default port."""


def read_redis_url(text: str) -> RedisUrl:
    """Read a URL. Raises `ValueError` with a sentence that shows no part of it but names of options."""
    parts = _URL.fullmatch(text)
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in {"unix", *_SCHEMES}:
        raise ValueError(
            "the Redis URL wants redis://, rediss:// or unix://, or redis+sentinel:// or redis+cluster://, "
            "and in a password / ? # as %2F %3F %23"
        )
    login, _, places = parts["authority"].rpartition("@")
    options = _read_options(parts["query"] or "")
    path = parts["path"] or ""
    if scheme == "unix":
        return _read_unix(places, path, login, options)
    kind, has_tls, port = _SCHEMES[scheme]
    _refuse_unfit(options, kind, has_tls=has_tls)
    hosts = tuple(_read_host(place, port) for place in places.split(","))
    if kind is Kind.SERVER and len(hosts) > 1:
        raise ValueError("the Redis URL names several hosts: that wants redis+sentinel:// or redis+cluster://")
    primary, db = _read_path(path, options, kind)
    return RedisUrl(
        kind=kind,
        hosts=hosts,
        primary=primary,
        db=db,
        login=_read_login(login, options),
        sentinel_login=Login(options.get("sentinel_username"), options.get("sentinel_password")),
        client_name=options.get("client_name"),
        tls=_read_tls(options) if has_tls else None,
    )


def _read_unix(places: str, path: str, login: str, options: Mapping[str, str]) -> RedisUrl:
    _refuse_unfit(options, Kind.SERVER, has_tls=False)
    if places or path in {"", "/"}:
        raise ValueError("the Redis URL of a Unix socket wants an absolute path, as in unix:///run/redis.sock")
    return RedisUrl(
        kind=Kind.SERVER,
        socket=unquote(path),
        db=_read_db(options.get("db", "0")),
        login=_read_login(login, options),
        client_name=options.get("client_name"),
    )


def _read_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        name = _SAME.get(name, name)
        if name in _ALWAYS_CHECKED:
            raise ValueError(
                f"the Redis URL has the option `{name}`, which is not allowed, since the certificate and the host's name "
                "are always checked: leave it out, and name your own authority with `ca`"
            )
        if name not in _OPTIONS:
            shown = f"`{name}`" if re.fullmatch(r"[a-z_]{1,40}", name) else "of another name"
            raise ValueError(f"the Redis URL has an option {shown} that is not among {', '.join(sorted(_OPTIONS))}")
        if name in options or not value:
            raise ValueError(f"the Redis URL has the option `{name}` {'twice' if value else 'without a value'}")
        options[name] = unquote(value)
    return options


def _refuse_unfit(options: Mapping[str, str], kind: Kind, *, has_tls: bool) -> None:
    """Refuse options that would mean nothing: of Sentinels or TLS where there are none."""
    fit = _LOGIN | {"db"}
    if kind is Kind.SENTINEL:
        fit |= {"sentinel_username", "sentinel_password"}
    if has_tls:
        fit |= {"ca", "cert", "key"}
    for name in options.keys() - fit:
        wants = "rediss://, with TLS" if name in {"ca", "cert", "key"} else "redis+sentinel://"
        raise ValueError(f"the Redis URL has the option `{name}`, which wants {wants}")


def _read_host(text: str, default_port: int) -> Host:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError("the Redis URL names no host, or one that is none, as in host:6379 or [::1]:6379")
    port = int(found["port"] or default_port)
    if not 0 < port <= _MAX_PORT:
        raise ValueError("the Redis URL has a port that is none")
    return Host(found["name"] or found["address"], port)


def _read_path(path: str, options: Mapping[str, str], kind: Kind) -> tuple[str, int]:
    """Read the primary's name, which Sentinels want, and the number of the database, from path and options."""
    parts = [unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    primary = parts.pop(0) if kind is Kind.SENTINEL and parts else ""
    if kind is Kind.SENTINEL and not primary:
        raise ValueError("the Redis URL of a Sentinel wants the primary's name as its path")
    given = [*parts, *([options["db"]] if "db" in options else [])]
    if len(given) > 1:
        raise ValueError("the Redis URL names its database more than once")
    db = _read_db(given[0] if given else "0")
    if kind is Kind.CLUSTER and db:
        raise ValueError("the Redis URL names a database, and a Cluster has only 0")
    return primary, db


def _read_db(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError("the Redis URL has a database that is no number")
    return int(text)


def _read_login(text: str, options: Mapping[str, str]) -> Login:
    username, _, password = text.partition(":")
    if (username and "username" in options) or (password and "password" in options):
        raise ValueError("the Redis URL names its user or password twice")
    return Login(
        unquote(username) or options.get("username") or None, unquote(password) or options.get("password") or None
    )


def _read_tls(options: Mapping[str, str]) -> Tls:
    """Read the files of TLS, which must be readable: later, their loss would look like an outage."""
    for name in ("ca", "cert", "key"):
        if name in options:
            try:
                Path(options[name]).read_bytes()
            except (OSError, ValueError):
                raise ValueError(f"the Redis URL names a file as `{name}` that cannot be read") from None
    if "key" in options and "cert" not in options:
        raise ValueError("the Redis URL has the option `key` without `cert`")
    return Tls(options.get("ca"), options.get("cert"), options.get("key"))

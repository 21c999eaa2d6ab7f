"""Explanations of what goes wrong with a Redis, in sentences that say how to correct it and show no secret."""

import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from redis.exceptions import AuthenticationError, InvalidResponse, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as NoResponse

from app.redis.refusals import error_code
from app.redis.urls import Kind, RedisUrl

_OF_CODES: Final[Mapping[str | None, str]] = {
    "READONLY": "It is a read-only replica: the URL must name the primary.",
    "MISCONF": "It refuses writes because it cannot save to disk: free its disk, or set stop-writes-on-bgsave-error no.",
    "LOADING": "It is still loading its data: try again.",
    "MASTERDOWN": "It is a replica that has lost its primary: the URL must name the primary.",
    "CLUSTERDOWN": "The Cluster is down: some of its slots have no node.",
    "NOREPLICAS": "It refuses writes because it has too few replicas (min-replicas-to-write).",
    "OOM": "It is full: raise maxmemory, or set maxmemory-policy allkeys-lru.",
    "CROSSSLOT": "It is a node of a Cluster: use redis+cluster://.",
    "MOVED": "It is a node of a Cluster: use redis+cluster://.",
}

_NO_ANSWER: Final = "It does not answer in time: are host and port right, and does nothing on the way drop packets?"
_CLOSED: Final = "It closes the connection: does it want TLS (rediss://)?"

_OF_CAUSES: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (ssl.SSLError, "TLS fails: does it speak TLS, and accept our certificate (options `cert` and `key`)?"),
    (socket.gaierror, "The name of its host is not known."),
    ((ConnectionRefusedError, FileNotFoundError), "Nothing listens there: are host and port right, and is it up?"),
    (PermissionError, "Its socket may not be opened by this user."),
)
"""What the operating system says, however deep in the chain of causes."""

_OF_TEXTS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...]] = (
    (AuthenticationError, "required", "It wants a password, and the URL has none."),
    (AuthenticationError, "", "It does not accept user and password of the URL."),
    (InvalidResponse, "\x15", "It wants TLS: use rediss://."),
    (InvalidResponse, "\\x15", "It wants TLS: use rediss://."),
    (InvalidResponse, "", "It is no Redis: it answers in another protocol."),
    (RedisClusterException, "not enabled", "It is no Cluster: use redis://."),
    (ResponseError, "cluster support disabled", "It is no Cluster: use redis://."),
    (ResponseError, "db index", "It has no database of that number."),
    (RedisError, "previous master", _OF_CODES["READONLY"]),
    (RedisError, "closed", _CLOSED),
    (RedisError, "reading from", _CLOSED),
    (RedisError, "timeout", _NO_ANSWER),
    ((NoResponse, TimeoutError), "", _NO_ANSWER),
    (OSError, "", "The connection fails: are host and port right?"),
)
"""Classes of errors with a part of their text, the first that fits."""


_LACKS_COMMAND: Final = re.compile(r"no permissions to run the '([a-z|]+)' command")


def missing_right(error: Exception) -> str | None:
    """Return the right that a user lacks, as `ACL SETUSER` has it, None if the error is none of rights."""
    text = str(error)
    if found := _LACKS_COMMAND.search(text):
        return f"+{found[1]}"
    if "permissions to access" in text:
        return "&tallygate:*" if "channel" in text else "~tallygate:*"
    return None


def explain_missing(rights: Iterable[str]) -> str:
    """Say which rights a user lacks."""
    return f"The user lacks rights: {', '.join(rights)} (docs/redis.md lists all)."


def explain(error: Exception, url: RedisUrl) -> str:
    """Explain why a command failed."""
    if right := missing_right(error):  # of a script, at a node of a Cluster that was not asked before
        return explain_missing([right])
    if sentence := _OF_CODES.get(error_code(error)):
        return sentence
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = cause.verify_message.rstrip(".")
            return f"Its certificate is not accepted ({reason}): is the option `ca` right, and the host's name?"
        for kinds, sentence in _OF_CAUSES:
            if isinstance(cause, kinds):
                return sentence
    text = str(error).lower()
    if isinstance(error, ResponseError) and "unknown command" in text:
        return _explain_unknown_command(url)
    found = (sentence for kinds, part, sentence in _OF_TEXTS if isinstance(error, kinds) and part in text)
    return next(found, f"It does not answer as Redis does ({type(error).__name__}).")


def _explain_unknown_command(url: RedisUrl) -> str:
    if url.kind is Kind.SENTINEL:
        return "It is no Sentinel: use redis://, or the port of the Sentinels (26379)."
    return "It lacks commands of Redis: is it a Sentinel (redis+sentinel://host/name), or a proxy?"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__

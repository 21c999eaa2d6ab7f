"""Origins of web apps, read as browsers write them."""

import re
from typing import Final

_ORIGIN: Final = re.compile(r"(https?)://(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_MAX_PORT: Final = 65535


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

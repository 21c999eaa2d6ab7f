"""The Host header (RFC 9112, section 3.2): exactly one, and a host with an optional port (RFC 3986, section 3.2.2)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

HOST: Final = b"host"

_WITHOUT_HOST: Final = "1.0"
"""The version that may leave the header out."""

_CHARACTERS: Final = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+"
_LITERAL: Final = rb"\[(?:[0-9A-Fa-f:.]+|v[0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+)\]"
_is_host: Final = re.compile(rb"(?:%s|%s)(?::[0-9]*)?" % (_CHARACTERS, _LITERAL)).fullmatch


@lru_cache(256)  # programs send the same one each time
def is_host(value: bytes) -> bool:
    """Tell whether the header has a valid value. An empty one is none: a URL of HTTP has a host (RFC 9110, 4.2.1)."""
    return _is_host(value) is not None


def are_hosts_right(values: Sequence[bytes], http_version: str) -> bool:
    """Tell whether a request has the Host header that its version of HTTP demands."""
    if not b"".join(values):
        return http_version == _WITHOUT_HOST and len(values) <= 1
    return len(values) == 1 and is_host(values[0])

"""Paths: segments stand between the raw slashes of a request, and are percent-decoded one by one (RFC 3986, 3.3)."""

from app.balances.snapshots import MAX_NAME_CHARACTERS
from app.decoding import Undecodable, decode_percent
from app.errors import InvalidRequest


def route_path(raw_path: bytes, path: str) -> str:
    """Return the path to route by: decoded, but for the slashes and percent signs within a segment.

    So an encoded slash never separates, and each part between slashes is one for `read_asset_id`. A segment that is no
    percent-encoded UTF-8 is taken literally. `path` is what the server decoded, which is right if nothing is encoded.
    """
    return "/".join(map(_read_segment, raw_path.split(b"/"))) if b"%" in raw_path else path


def read_asset_id(segment: str) -> str:
    """Read an asset id from a segment of the path to route by. Raises `InvalidRequest` for one that no asset can have."""
    asset_id = segment.replace("%2F", "/").replace("%25", "%") if "%" in segment else segment
    if len(asset_id) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(f"assetId wants 1 to {MAX_NAME_CHARACTERS} characters.")
    return asset_id


def _read_segment(raw: bytes) -> str:
    try:
        segment = decode_percent(raw)
    except Undecodable:
        segment = raw.decode("ascii", errors="replace")
    return segment.replace("%", "%25").replace("/", "%2F")

import gzip

import brotli  # type: ignore[import-untyped]
import pytest

from app.api.rendering import encodings
from app.api.rendering.encodings import Coding, encode, read_wanted

BODY = b'{"assetId":"USDT","total":"1000"}' * 40


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip, deflate, br, zstd", "br zstd gzip identity"),
        ("gzip", "gzip identity"),
        ("x-gzip", "gzip identity"),
        ("GZIP", "gzip identity"),
        ("br;q=0", "identity"),
        ("br;q=0.000, gzip", "gzip identity"),
        ("br;q=0.1, gzip;q=0.9", "gzip br identity"),
        ("gzip;q=0.5, identity", "identity gzip"),
        ("gzip, identity;q=0", "gzip"),
        ("*", "br zstd gzip identity"),
        ("*;q=0", ""),
        ("gzip, *;q=0", "gzip"),
        ("br;q=0, *", "zstd gzip identity"),
        ("identity", "identity"),
        ("deflate, compress", "identity"),
        ("brotli, xbr, br2", "identity"),
        (" br ; q=1.0 ,, gzip", "br gzip identity"),
        ("br;q=2, gzip;q=x, zstd;q=-1", "identity"),
        ("br;q=0.0001", "identity"),
        ("\xff, gzip", "gzip identity"),
    ],
)
def test_a_header_says_which_codings_are_taken_best_first(header: str | None, wanted: str) -> None:
    assert " ".join(read_wanted(header)) == wanted


@pytest.mark.parametrize(
    ("coding", "decode"),
    [
        (Coding.BR, brotli.decompress),
        (Coding.ZSTD, encodings.__dict__["zstd"].decompress),
        (Coding.GZIP, gzip.decompress),
        (Coding.IDENTITY, bytes),
    ],
)
def test_each_coding_gives_the_body_back(coding: Coding, decode: object) -> None:
    assert callable(decode)
    assert decode(encode(BODY, coding)) == BODY


def test_equal_bodies_are_encoded_alike() -> None:
    assert all(encode(BODY, coding) == encode(BODY, coding) for coding in Coding)

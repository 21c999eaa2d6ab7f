"""Garbage: bytes that no reader of ours can take for a record, each wrong in another way."""

GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"nonsense",
    "null": b"null",
    "another type": b'{"type":"later","key":"12345","asOf":5}',
    "a list": b"[]",
    "truncated": b'{"type":"balances","key":"12345","asOf":1000000000000,"canDeposit":true,"bal',
    "NaN": b'{"type":"absent","key":"12345","asOf":NaN}',
    "a huge number": b'{"type":"absent","key":"12345","asOf":' + b"9" * 5000 + b"}",
    "a late time": b'{"type":"absent","key":"12345","asOf":99999999999999999}',
    "no UTF-8": b"\xff\xfe\x00",
    "NUL": b"\x00" * 30,
    "half a surrogate pair": b'{"type":"absent","key":"\\ud800","asOf":5}',
    "nested": b"[" * 100_000,
    "no zlib": b"x\x9c\xff\xff\xff",
}

"""Recorded bytes: what an earlier version wrote to Redis and to the bus, literally.

Replicas of two versions share both during a rolling restart. What stands here changes only together with `SCHEMA`.
"""

from base64 import b64decode

OLD = "old"
"""The id of the replica that wrote them. Its keys begin with `t`."""

AS_OF = 1_000_000_000_000
"""When the upstream's answer arrived, in Unix milliseconds."""

ODD_ENTRY = (
    b'{"type":"balances","key":"12345","asOf":1000000000000,"canDeposit":false,"balances":['
    b'{"assetId":"BTC","asset":"BTC","assetName":"Bitcoin","total":"0.5","free":"0.3","locked":"0.2"},'
    b'{"assetId":"USDT","asset":"USDT","assetName":"Tether \xe2\x82\xae","total":"-1000",'
    b'"free":"-800.000000000000000001","locked":"0"}],"anomalies":['
    b'{"assetId":"BTC","kind":"duplicate-asset","rows":2},{"assetId":"USDT","kind":"negative-amount"},'
    b'{"assetId":"USDT","kind":"total-mismatch"}]}'
)
EMPTY_ENTRY = b'{"type":"balances","key":"0","asOf":1000000000001,"canDeposit":true,"balances":[],"anomalies":[]}'
ABSENT_ENTRY = b'{"type":"absent","key":"777","asOf":1000000000002}'

ENTRIES_MESSAGE = b"\n".join(
    b'{"sender":"old","entry":' + entry + b"}" for entry in (ODD_ENTRY, EMPTY_ENTRY, ABSENT_ENTRY)
)
"""One message for all that one batch of scripts stored, a line for each."""

RELEASES_MESSAGE = (
    b'{"sender":"old","entry":null,"failure":{"key":"12345","error":"UpstreamBusy","detail":"The upstream is busy.",'
    b'"retryAfterSeconds":3,"code":-5046},"freed":null}\n'
    b'{"sender":"old","entry":null,"failure":null,"freed":"777"}'
)
FAILURE_MESSAGE = (
    b'{"sender":"old","entry":null,"failure":{"key":"1","error":"Unreachable","detail":"x",'
    b'"retryAfterSeconds":null,"code":null},"freed":null}'
)
ERROR_NAMES = {
    *("AccessRefused", "BreakerOpen", "BudgetSpent", "MalformedAnswer", "MerchantInactive", "RequestRefused"),
    *("TokenRefused", "UnknownCode", "Unreachable", "UpstreamBusy", "UpstreamFaulty", "UpstreamTimeout"),
}
"""All that `error` of a failure may say."""

CREATION_FAILURE = (
    b'{"key":"token","error":"TokenRefused","detail":"The upstream refuses the API key.",'
    b'"retryAfterSeconds":null,"code":-5043}'
)
CREATION_REST = (
    b'{"key":"token","error":"TokenRefused",'
    b'"detail":"The upstream made a new token just now, and refuses that one too.","retryAfterSeconds":null,"code":null}'
)
"""What stands in the lease of a shared value while nobody may create another one."""

DIRECTORY = (
    b'{"as_of":1000000000000,"merchants":[{"id":1,"name":"Ann & S\xc3\xb6hne","status":2},{"id":2},'
    b'{"id":9007199254740991,"name":"","status":3}]}'
)
DIRECTORY_PACKED = b64decode(
    "eJyrVkosjs9PU7IyNEACOkq5qUXJGYl5JcVKVtHVSpkpQAU6SnmJualKVkqOeXkKagrBh7dl5KUq6SgV"
    "lySWlALVGdXqQFTCGZYGBuaGlpZGpibmJgaWlggTkHQZ18bWAgAYhiaQ"
)

SEAL_SECRET = "sandbox-api-secret"
SEAL_PURPOSE = "http://upstream.test sandbox-api-key"
SEAL_NAME = "084c220f9b913d10"
SEAL_KEY = bytes.fromhex("f1ffd06bbaed47a4af94d9df87225e93176bf5e6674a5c8326f3d50e800c4796")
"""The key that is derived from the secret for this purpose."""
SEALED_CONTENT = b'{"token":"minted-token","lifeSeconds":3600.0}'
SEALED = bytes.fromhex(
    "90f3a1ee53431500b800d92b9bc13df3517c6b77721a9ae4b558bf8f2cff1546d05b49fcf117a4a48014d80c504d5eb2ca581a52"
    "860db68fefb19c6bf281ce9cfb6e9a124de3774931"
)
"""A nonce of 12 bytes, and after it the content and its tag, encrypted."""

JOB_RUNNING = b'{"id":"j1","state":"running","startedAt":1000000000001}'
JOB_DONE = (
    b'{"id":"j1","state":"done","startedAt":1000000000001,"look":2,"expected":2,"read":2,"finishedAt":1000000000061,'
    b'"findings":[{"assetId":"BTC","verdict":"mismatch","aggregate":{"total":"3.000000000000000001",'
    b'"free":"3.000000000000000001","locked":"0"},"sum":{"total":"3","free":"3","locked":"0"},'
    b'"difference":{"total":"0.000000000000000001","free":"0.000000000000000001","locked":"0"},"merchants":2}]}'
)
JOB_INCOMPLETE = (
    b'{"id":"j2","state":"done","startedAt":1000000001001,"look":1,"expected":2,"read":1,"missing":1,'
    b'"missingMerchants":["2"],"finishedAt":1000000001031,"findings":[{"assetId":"BTC","verdict":"incomplete",'
    b'"aggregate":{"total":"3.000000000000000001","free":"3.000000000000000001","locked":"0"},'
    b'"sum":{"total":"1","free":"1","locked":"0"},"difference":{"total":"2.000000000000000001",'
    b'"free":"2.000000000000000001","locked":"0"},"merchants":1}]}'
)
JOB_FAILED = (
    b'{"id":"j3","state":"failed","startedAt":1000000002001,"look":1,"expected":2,"finishedAt":1000000002011,'
    b'"detail":"The token is refused."}'
)

VERSION = "0123456789abcdef01234567"
VERSION_HEAD = b'{"head":{"scope":"s","as_of":5,"view":{"a":1}},"count":3}'
VERSION_ITEMS = b'[{"n":1},{"n":2},{"n":3}]'
VERSION_ITEMS_PACKED = b64decode("eAGLrlbKU7IyrNUB00ZQ2rg2FgBfRQdT")

"""OpenAPI examples: one for each answer, and one for each problem."""

from typing import Any, Final

from app.api.problem_kinds import PROBLEMS

_TIME: Final = "2026-11-23T10:00:00.123Z"
_BTC: Final = {"assetId": "BTC", "asset": "BTC", "assetName": "BTC", "total": "0.5", "free": "0.3", "locked": "0.2"}
_USDT: Final = {
    "assetId": "USDT",
    "asset": "USDT",
    "assetName": "USDT",
    "total": "1000",
    "free": "800",
    "locked": "200",
}
_PART: Final = {
    "merchantId": 12345,
    "status": "fresh",
    "canDeposit": True,
    "asOf": _TIME,
    "balances": [_BTC, _USDT],
}
_MISSING: Final = {
    "merchantId": 404,
    "status": "unavailable",
    "problem": {
        "type": "/problems/unknown-merchant",
        "title": "No such merchant",
        "status": 404,
        "detail": "The upstream knows no such merchant.",
    },
}
_BATCH: Final = {
    "complete": False,
    "coverage": {"expected": 2, "fresh": 1, "stale": 0, "unavailable": 1},
    "oldestAsOf": _TIME,
    "newestAsOf": _TIME,
    "merchants": [_PART, _MISSING],
}
_VIEW: Final = {
    "complete": True,
    "coverage": {"expected": 1, "fresh": 1, "stale": 0, "unavailable": 0},
    "directoryAsOf": _TIME,
    "version": "f3c1d0a84b7e925c6d1f0a3b",
    "oldestAsOf": _TIME,
    "newestAsOf": _TIME,
    "sweep": {"state": "running", "secondsToWhole": 0, "secondsToRound": 1},
}
_SUMS: Final = {"total": "1000", "free": "800", "locked": "200"}
_RUNNING: Final = {
    "id": "4f1d2c",
    "state": "running",
    "startedAt": _TIME,
    "look": 1,
    "expected": 2,
    "read": 1,
    "missing": 0,
}
_DONE: Final = _RUNNING | {
    "state": "done",
    "read": 2,
    "finishedAt": _TIME,
    "verdicts": {"match": 1},
    "assets": [
        {
            "assetId": "USDT",
            "verdict": "match",
            "difference": {"total": "0", "free": "0", "locked": "0"},
            "aggregate": _SUMS,
            "sum": _SUMS,
            "merchants": 1,
        }
    ],
}
_EPOCH: Final = "1796021343041-657c4b31"
_CHANGE: Final = {
    "sequence": 8,
    "observedBetween": {"after": "2026-11-23T09:59:54.102Z", "until": _TIME},
    "rows": [
        {key: _USDT[key] for key in ("assetId", "asset", "assetName")}
        | {
            "before": {"total": "1100", "free": "900", "locked": "200"},
            "after": _SUMS,
            "change": {"total": "-100", "free": "-100", "locked": "0"},
        }
    ],
}
_JSON: Final = "application/json"

BODIES: Final[dict[tuple[str, int, str], Any]] = {
    ("getMe", 200, _JSON): {
        "name": "web",
        "source": "key",
        "merchants": [12345, 10001],
        "portfolio": False,
        "quota": {"concurrency": 100, "rate": 50},
        "until": "2027-05-31T22:00:00.000Z",
    },
    ("getMerchantBalances", 200, _JSON): {key: _PART[key] for key in _PART if key != "status"},
    ("getAssetBalance", 200, _JSON): {"merchantId": 12345, "asOf": _TIME} | _USDT,
    ("getPortfolio", 200, _JSON): {key: _PART[key] for key in _PART if key != "status"} | {"merchantId": 0},
    ("getUpstreamBalances", 200, _JSON): {
        "code": 200,
        "msg": "SUCCESS",
        "data": {"canDeposit": True, "balances": [_BTC, _USDT]},
    },
    ("getBalances", 200, _JSON): _BATCH,
    ("queryBalances", 200, _JSON): _BATCH,
    ("listMerchants", 200, _JSON): {
        "merchants": [{"merchantId": 12345, "merchantName": "Blue Door"}],
        "directoryAsOf": _TIME,
    },
    ("getBreakdown", 200, _JSON): _VIEW
    | {
        "totals": [_BTC | {"merchants": 1}, _USDT | {"merchants": 1}],
        "merchants": [_PART | {"merchantName": "Blue Door"}],
    },
    ("getHolders", 200, _JSON): {"assetId": "USDT"}
    | _VIEW
    | {
        "total": _USDT | {"merchants": 1},
        "holders": [{"merchantId": 12345, "status": "fresh", "asOf": _TIME, **_SUMS, "share": "1"}],
    },
    ("getMerchantChanges", 200, _JSON): {"merchantId": 12345, "epoch": _EPOCH, "keptFrom": _TIME, "changes": [_CHANGE]},
    ("getPortfolioChanges", 200, _JSON): {"merchantId": 0, "epoch": _EPOCH, "keptFrom": _TIME, "changes": [_CHANGE]},
    ("getChanges", 200, _JSON): {
        "epoch": _EPOCH,
        "keptFrom": _TIME,
        "complete": True,
        "changes": [{"merchantId": 12345, "epoch": _EPOCH, **_CHANGE}],
        "next": "64a0cb89.P2M5O5ZAxASDJvqJlxGUwNXmnkRttQDguRYqOn5xGEH65o3Xm-eA0_nYYaY",
    },
    ("reportMoves", 202, _JSON): {"movedAt": _TIME, "merchants": 1},
    ("takeEvent", 200, _JSON): {"callbackStatus": "SUCCESS"},
    ("getLastReconciliation", 200, _JSON): _DONE,
    ("getReconciliation", 200, _JSON): _RUNNING,
    ("startReconciliation", 202, _JSON): _RUNNING | {"read": 0},
    ("getLiveness", 200, _JSON): {"status": "alive"},
    ("getReadiness", 200, _JSON): {"status": "ready", "callers": 3, "token": "accepted", "redis": "available"},
    ("getReadiness", 503, _JSON): {
        "status": "not ready",
        "callers": 3,
        "token": "refused",
        "redis": "available",
        "reason": "token-refused",
    },
}
"""The body of an answer by operation, status and media type."""


def problem_examples(status: int) -> dict[str, Any]:
    """Return an example of each problem with a status, by its name."""
    return {
        kind.name: {
            "value": {
                "type": f"/problems/{kind.name}",
                "title": kind.title,
                "status": status,
                "detail": kind.advice,
                "instance": "/v1/merchants/12345/balances",
                "requestId": "b671cd55b7ef445fba2b48882a806dc4",
            }
        }
        for kind in PROBLEMS.values()
        if kind.status == status
    }

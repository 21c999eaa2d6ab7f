"""Rows as the upstream may send them, right or wrong."""


def row(total: object, free: object = "0", locked: object = "0", asset: str = "BTC") -> dict[str, object]:
    """Make a row."""
    return {"asset": asset, "assetId": asset, "assetName": asset, "total": total, "free": free, "locked": locked}

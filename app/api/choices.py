"""Which rows a caller wants to see: `?assets=` and `?nonzero=`."""

from app.api.parameters import read_assets, read_flag
from app.api.views import Keep


def read_choice(assets: str | None, nonzero: str | None) -> Keep:
    """Read the parameters. Raises `InvalidRequest`."""
    wanted = read_assets(assets)
    hide_zero = read_flag("nonzero", nonzero)
    return lambda row: (wanted is None or row.asset_id in wanted) and not (hide_zero and row.is_zero)

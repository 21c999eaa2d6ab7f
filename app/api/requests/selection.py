"""Row selection: `?assets=` and `?nonzero=`, and their canonical form."""

from typing import Self
from urllib.parse import quote

from msgspec import Struct

from app.api.requests.parameters import read_assets, read_flag, write_assets
from app.balances.snapshots import Row


class Selection(Struct, frozen=True):
    """Which rows a caller wants. Without `assets`, any asset."""

    assets: frozenset[str] | None
    nonzero: bool

    @classmethod
    def read(cls, assets: str | None, nonzero: str | None) -> Self:
        """Read the parameters. Raises `InvalidRequest`."""
        return cls(read_assets(assets), read_flag("nonzero", nonzero))

    @property
    def query(self) -> str:
        """The canonical query: equal selections have the same one."""
        assets = [] if self.assets is None else [f"assets={quote(write_assets(self.assets), safe=',')}"]
        return "&".join(assets + ["nonzero=true"] * self.nonzero)

    @property
    def is_all(self) -> bool:
        """Whether every row is wanted."""
        return self.assets is None and not self.nonzero

    def keeps(self, row: Row) -> bool:
        """Check that a row is wanted."""
        return (self.assets is None or row.asset_id in self.assets) and not (self.nonzero and row.is_zero)

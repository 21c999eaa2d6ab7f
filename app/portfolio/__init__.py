"""Questions about all merchants together: the breakdown, who holds an asset, and whether the aggregate agrees."""

"""The domain, pure: amounts, snapshots, totals, shares, normalisation, reconciliation."""

"""Questions over all merchants: directory, breakdown, holders, running totals, reconciliation."""

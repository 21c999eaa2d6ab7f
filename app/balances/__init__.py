"""The domain, pure: amounts, snapshots, normalising."""

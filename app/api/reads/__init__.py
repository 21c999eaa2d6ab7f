"""The read of one account: admission, resources, the one procedure, and the hot path before it."""

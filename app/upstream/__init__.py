"""The only door out: the only httpx, and the only place where the token is."""

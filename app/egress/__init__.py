"""The only httpx and aiohttp: one origin, bounded bodies, trust."""

"""HTTP out of this process, the only httpx and httptools: connections, one origin, bounded bodies, trust."""

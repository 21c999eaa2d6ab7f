"""The heart: freshness, memory tier, Redis tier, single flight, budget. It knows no upstream, only a loader."""

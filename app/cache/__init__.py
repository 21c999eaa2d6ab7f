"""The read-through cache: freshness, memory, Redis tier, single flight, load by one replica. It knows only a loader."""

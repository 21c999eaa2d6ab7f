"""Litestar handlers by topic, and the exchange through which they answer."""

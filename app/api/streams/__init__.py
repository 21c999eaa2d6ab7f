"""Streams: `/v1/watch`, raw ASGI before the web framework."""

"""Connections of callers: an HTTP/1.1 server in the event loop, for ASGI (docs/decisions/0041-a-server-in-the-loop.md)."""

"""The only redis-py: client, connections, script batching, Lua scripts, embedded server."""

"""Moves: events of the upstream and notices of our own programs, and the looks that find what moved."""

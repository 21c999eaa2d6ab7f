"""Callers' JWTs: verification, and the keys of their issuers."""

"""Settings: the environment, in sections. Imports nothing above it."""

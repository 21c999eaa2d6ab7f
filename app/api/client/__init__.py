"""The client for web apps, built from `clients/typescript`, as files that the gateway serves."""

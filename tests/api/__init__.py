"""API tests over HTTP. A package, so that its tests share an event loop and a service that end with it."""

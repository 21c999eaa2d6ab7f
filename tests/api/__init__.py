"""The face, spoken to over HTTP: a package, so that its tests share a loop and a service that end with it."""

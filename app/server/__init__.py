"""The server process: granian workers, signals, scheduling, shutdown, the admin port. All knowledge of granian is here."""

"""The server processes: the supervisor, its workers, shutdown and the admin port."""

"""The server processes: the supervisor, its workers, shutdown, scheduling and the admin port."""

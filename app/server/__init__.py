"""The server processes: granian's workers, shutdown, scheduling and the admin port. granian is used only here."""

"""What holds for every request: ids, limits, deadline, CORS, audit."""

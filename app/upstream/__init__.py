"""The upstream's protocol: calls, envelope, balances, directory, and its token, which nothing else handles."""

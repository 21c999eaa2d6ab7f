"""Circuit breaker, rate limiter, retry budget, supervision, draining. Knows nothing of balances."""

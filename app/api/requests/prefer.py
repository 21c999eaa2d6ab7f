"""Prefer of requests (RFC 7240): the header that says which preference was applied."""


def applied(seconds: int) -> tuple[str, str]:
    """Return the header that says how long a request would have waited."""
    return "Preference-Applied", f"wait={seconds}"

"""Events and `FRESH_SECONDS`, in virtual time: what `FRESH_SECONDS=60` with events costs and misses, beside 5 without.

Run: .venv/bin/python -m bench.moved [--merchants=20] [--seconds=3600] [--moves-an-hour=6]
"""

import argparse

from bench.moved_model import MovedConditions, run_moved


def main() -> None:
    """Run both, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--merchants", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--moves-an-hour", type=float, default=6)
    given = vars(parser.parse_args())
    print("| FRESH_SECONDS | events | upstream calls | share of the time in which answers differ |")
    print("|---|---|---|---|")
    for fresh, has_events in ((5, False), (60, False), (60, True)):
        figures = run_moved(MovedConditions(fresh_seconds=fresh, has_events=has_events, **given))
        print(f"| {fresh} | {'yes' if has_events else 'no'} | {figures.calls:,} | {figures.wrong_share:.2%} |")


if __name__ == "__main__":
    main()

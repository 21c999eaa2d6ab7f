"""Follow the feed of changes and write each change once, as a line of JSON, through restarts of gateways and of itself.

    python follow_changes.py http://127.0.0.1:8080 "$KEY" changes.jsonl

The file is the program's memory. A line is a page of changes with the cursor after it, so both are written or neither.
A gap is a line, too: what was missed is unknown, and the balances have to be read.
"""

import json
import os
import sys
from pathlib import Path
from typing import TextIO

import msgspec
from tallygate_client import Client, Disconnected, FeedChanges, Gap

Known = dict[tuple[int | None, str | None], int]
"""The newest sequence of each merchant within each epoch."""


def recall(path: Path) -> tuple[str | None, Known]:
    """Return the last cursor and what is written already. Half a line at the end is cut off: it did not count."""
    cursor, known = None, Known()
    whole = path.read_bytes() if path.exists() else b""
    end = whole.rfind(b"\n") + 1
    if end < len(whole):
        os.truncate(path, end)
    for line in whole[:end].splitlines():
        page = json.loads(line)
        cursor = page.get("cursor", cursor)
        for change in page.get("changes", ()):
            known[change["merchantId"], change["epoch"]] = change["sequence"]
    return cursor, known


def follow(client: Client, output: TextIO, cursor: str | None, known: Known) -> None:
    """Write what follows the cursor, until stopped."""
    options = {} if cursor is None else {"after": cursor}
    for event in client.changes("all", **options):
        match event:
            case FeedChanges():
                news = []
                for change in event.changes:  # they come at least once, those of a merchant in order
                    key = change.merchant_id, change.epoch
                    if change.sequence > known.get(key, -1):
                        known[key] = change.sequence
                        news.append(msgspec.to_builtins(change))
                write(output, {"cursor": event.cursor, "changes": news})
            case Gap():
                write(output, {"gap": event.reason})
            case Disconnected():
                print(f"no answer, again in {event.retry_in_seconds:.1f} s", file=sys.stderr)


def write(output: TextIO, line: dict[str, object]) -> None:
    """Write a line, and wait until the disk has it."""
    output.write(json.dumps(line) + "\n")
    output.flush()
    os.fsync(output.fileno())


def main(url: str, key: str, name: str) -> None:
    """Go on where the file ends."""
    path = Path(name)
    cursor, known = recall(path)
    with Client(url, key) as client, path.open("a", encoding="utf-8") as output:
        follow(client, output, cursor, known)


if __name__ == "__main__":
    main(*sys.argv[1:])

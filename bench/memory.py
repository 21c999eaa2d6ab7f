"""Memory tier: bytes of an entry of 8 assets, and the time of reads among many entries and few.

Run: .venv/bin/python -m bench.memory
"""

import gc
import json
import os
import statistics
import time
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

from app.balances.normalisation import normalise
from app.balances.snapshots import AccountId, Snapshot
from app.cache.memory import MemoryTier, size_bytes

ENTRIES = 100_000
TRACED = 20_000
FEW = 100
ASSETS = {
    "USDT": ("USDT", "Tether", 2),
    "USDC": ("USDC", "USD Coin", 2),
    "BTC": ("BTC", "Bitcoin", 8),
    "ETH": ("ETH", "Ethereum", 18),
    "TRX": ("TRX", "TRON", 6),
    "LTC": ("LTC", "Litecoin", 8),
    "BNB": ("BNB", "BNB Smart Chain", 18),
    "SOL": ("SOL", "Solana", 9),
}
READS = 50_000
ROUNDS = 15


def make_body(random: Random) -> str:
    """Write the `data` of an upstream's answer. Amounts have all decimals of their assets, and every row its names."""
    rows = []
    for asset_id, (asset, name, places) in ASSETS.items():
        free, locked = (Decimal(random.randrange(10 ** (places + 5))).scaleb(-places) for _ in range(2))
        amounts = {"total": f"{free + locked:f}", "free": f"{free:f}", "locked": f"{locked:f}"}
        rows.append({"assetId": asset_id, "asset": asset, "assetName": name, **amounts})
    return json.dumps({"canDeposit": True, "balances": rows})


def make_snapshots(count: int, assets: int, random: Random) -> Iterator[Snapshot]:
    """Make snapshots as production does: out of JSON, through `normalise`, so that names share their memory."""
    for number in range(count):
        data = json.loads(make_body(random))
        del data["balances"][assets:]
        yield normalise(AccountId(str(10_001 + number)), data, 1_000_000_000_000 + number)


def measure_bytes(assets: int, count: int) -> float:
    """Return the bytes that an entry takes in a tier of so many, by tracemalloc (which is slow)."""
    next(make_snapshots(1, assets, Random(0)))
    gc.collect()
    tracemalloc.start()
    memory = MemoryTier(count, 2**40)
    for snapshot in make_snapshots(count, assets, Random(1)):
        memory.put(snapshot)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(memory) == count
    return taken / count


def measure_resident() -> tuple[float, MemoryTier]:
    """Return the bytes of resident memory that an entry takes, and the tier that was filled."""
    gc.collect()
    before = _resident_bytes()
    memory = MemoryTier(ENTRIES, 2**40)
    for snapshot in make_snapshots(ENTRIES, len(ASSETS), Random(1)):
        memory.put(snapshot)
    gc.collect()
    return (_resident_bytes() - before) / ENTRIES, memory


def measure_reads(memory: MemoryTier, keys: list[AccountId]) -> float:
    """Return the nanoseconds of one `get`."""
    get = memory.get
    began = time.perf_counter_ns()
    for key in keys:
        get(key)
    return (time.perf_counter_ns() - began) / len(keys)


def compare_reads(many: MemoryTier) -> dict[str, float]:
    """Return the median nanoseconds of a `get` among few entries, among many, and among many of which few are read."""
    random = Random(2)
    few = MemoryTier(ENTRIES, 2**40)
    for snapshot in make_snapshots(FEW, len(ASSETS), random):
        few.put(snapshot)
    keys = [AccountId(str(10_001 + number)) for number in range(ENTRIES)]
    reads = {
        "few": (few, random.choices(keys[:FEW], k=READS)),
        "many": (many, random.choices(keys, k=READS)),
        "few of many": (many, random.choices(keys[:FEW], k=READS)),
    }
    seen: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(ROUNDS):
        for name, (memory, asked) in reads.items():
            seen[name].append(measure_reads(memory, asked))
    return {name: statistics.median(times) for name, times in seen.items()}


def main() -> None:
    """Print bytes an entry and the times of reads, rounds interleaved."""
    resident, memory = measure_resident()
    times = compare_reads(memory)
    estimate = {assets: size_bytes(next(make_snapshots(1, assets, Random(0)))) for assets in (1, len(ASSETS))}
    print(f"{ENTRIES:,} entries of {len(ASSETS)} assets: {resident:,.0f} bytes each by resident memory")
    del memory
    traced = {assets: measure_bytes(assets, TRACED) for assets in estimate}
    for assets, taken in traced.items():
        print(f"entries of {assets} assets: {taken:,.0f} bytes each by tracemalloc, {estimate[assets]:,} by `weigh`")
    row = (traced[len(ASSETS)] - traced[1]) / (len(ASSETS) - 1)
    print(f"so a row takes {row:,.0f} bytes, and an entry without rows {traced[1] - row:,.0f}")
    for name, nanoseconds in times.items():
        print(f"a get, {name}: {nanoseconds:.0f} ns, {nanoseconds / times['few']:.2f} times that among {FEW}")


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()

"""The console's pages over 200 slots of 50 versions each, asked for over HTTP from the server that people run.

The rows are written straight into the server's SQLite file: 10,000 versions with 160,000 tags, 20,000 statements,
30,000 ledger entries and 10,000 runs. Beside the pages, the request that MLflow's own list of models makes, for 100 of
the same models. Medians of nine turns, after one uncounted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402

from pipelines.settings import Slot  # noqa: E402
from tests.support.console_pages import open_stores  # noqa: E402
from tests.support.guarded_server import guarded_server  # noqa: E402
from tests.support.registry_rows import FINGERPRINT, fill  # noqa: E402

SITES, VERSIONS, TURNS = 50, 50, 9
SLOTS = [Slot(f"plant-{number:02d}", task) for number in range(SITES) for task in ("asr", "asv", "ser", "sic")]
PAGES = {
    "grid of 200 slots": "/elp/",
    "slot with 50 versions": "/elp/slots/plant-07/asr",
    "backbone with 10,000 adapters": f"/elp/backbones/{FINGERPRINT}",
    "dataset version": f"/elp/datasets/{SLOTS[0].tag(9)}",
    "MLflow's list, 100 models": "/ajax-api/2.0/mlflow/registered-models/search?max_results=100&order_by="
    + quote("name ASC"),
}


def prepare(folder: Path) -> None:
    """The server's database, filled."""
    with pytest.MonkeyPatch.context() as patch:
        registry, tracking, _ = open_stores(folder, patch)
        fill(registry.engine, SLOTS, VERSIONS)
        for store in (registry, tracking):
            store.engine.dispose()


def fetch(address: str) -> tuple[float, int]:
    """Seconds until the whole answer is here, and its bytes."""
    started = time.perf_counter()
    with urllib.request.urlopen(address, timeout=60) as answer:
        size = len(answer.read())
    return time.perf_counter() - started, size


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        folder = Path(scratch)
        prepare(folder)
        with guarded_server(folder) as server:
            times: dict[str, list[float]] = {name: [] for name in PAGES}
            sizes: dict[str, int] = {}
            first = {name: fetch(server.uri + path)[0] for name, path in PAGES.items()}
            for _ in range(TURNS):
                for name, path in PAGES.items():
                    seconds, sizes[name] = fetch(server.uri + path)
                    times[name].append(seconds)
    print("| page | first ms | median ms | worst ms | KB |\n|---|---|---|---|---|")
    for name, values in times.items():
        told = (1e3 * seconds for seconds in (first[name], statistics.median(values), max(values)))
        print(f"| {name} | {' | '.join(f'{one:.0f}' for one in told)} | {sizes[name] / 1e3:.0f} |")


if __name__ == "__main__":
    main()

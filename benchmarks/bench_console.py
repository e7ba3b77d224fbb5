"""The console's pages over 200 slots of 50 versions each, over HTTP from a real guarded server.

The rows are written straight into the server's SQLite file: 10,000 versions with 160,000 tags, 20,000 statements,
30,000 ledger entries and 10,000 runs. Beside the pages, the request that MLflow's own list of models makes, for 100 of
the same models. Medians of nine turns, after one uncounted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import urllib.request
from functools import partial
from pathlib import Path
from urllib.parse import quote

from turns import take_turns

# the server and the rows of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

from pipelines.registry.slot import Slot
from tests.support.console_pages import open_stores
from tests.support.guarded_server import guarded_server
from tests.support.registry_rows import FINGERPRINT, fill

SITES, VERSIONS, TURNS = 50, 50, 9
SLOTS = [Slot(f"plant-{number:02d}", task) for number in range(SITES) for task in ("asr", "asv", "ser", "sic")]
PAGES = {
    "grid of 200 slots": "/elp/",
    "slot with 50 versions": "/elp/slots/plant-07/asr",
    "two versions side by side": "/elp/slots/plant-07/asr/compare",
    "backbone with 10,000 adapters": f"/elp/backbones/{FINGERPRINT}",
    "dataset version": f"/elp/datasets/{SLOTS[0].tag(9)}",
    "MLflow's list, 100 models": "/ajax-api/2.0/mlflow/registered-models/search?max_results=100&order_by="
    + quote("name ASC"),
}


def prepare(folder: Path) -> None:
    """Fill the server's database."""
    with pytest.MonkeyPatch.context() as patch:
        registry, tracking, _ = open_stores(folder, patch)
        fill(registry.engine, SLOTS, VERSIONS)
        for store in (registry, tracking):
            store.engine.dispose()


def fetch(address: str) -> int:
    """Wait for the whole answer and return its bytes."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        return len(answer.read())


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        folder = Path(scratch)
        prepare(folder)
        with guarded_server(folder) as server:
            ways = {name: partial(fetch, server.uri + path) for name, path in PAGES.items()}
            first = take_turns(ways, 1, warm_up=0)
            times = take_turns(ways, TURNS, warm_up=0)
            sizes = {name: run() for name, run in ways.items()}
    print("| page | first ms | median ms | worst ms | KB |\n|---|---|---|---|---|")
    for name, values in times.items():
        shown = (1e3 * seconds for seconds in (first[name][0], statistics.median(values), max(values)))
        print(f"| {name} | {' | '.join(f'{one:.0f}' for one in shown)} | {sizes[name] / 1e3:.0f} |")


if __name__ == "__main__":
    main()

"""What `elp gc` costs at 10,000 versions, and how Prefect's tables grow in a night of 600 runs.

Part one: 200 slots of 50 versions in a guarded server's SQLite file; the server's facts over HTTP, the decision, and
the decision on the files of 2,000 dataset versions with 100 files each. Part two: rows of 600 runs, as those of
`elp retrain` leave them (8 tasks, 5 states each, 60 lines of log, 40 events), written into a fresh database of Prefect;
its size, and the rows after Prefect's own vacuum with the settings of `elp up`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from turns import take_turns

# the server and the rows of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

from pipelines.registry.retention import RetentionPolicy, decide_retention
from pipelines.registry.slot import Slot
from pipelines.retention.data_plan import RemoteFile, decide_files, decide_versions
from pipelines.retention.named_data import TaggedData
from pipelines.retention.removal_plan import read_records
from tests.support.console_pages import open_stores
from tests.support.guarded_server import guarded_server
from tests.support.registry_rows import fill

SITES, VERSIONS, TURNS = 50, 50, 5
SLOTS = [Slot(f"plant-{number:02d}", task) for number in range(SITES) for task in ("asr", "asv", "ser", "sic")]
RUNS, TASKS, STATES, LINES, EVENTS = 600, 8, 5, 60, 40


def prepare(folder: Path) -> None:
    """Fill the server's database."""
    with pytest.MonkeyPatch.context() as patch:
        registry, tracking, _ = open_stores(folder, patch)
        fill(registry.engine, SLOTS, VERSIONS)
        for store in (registry, tracking):
            store.engine.dispose()


def decide_data() -> int:
    """Decide on 2,000 dataset versions of 100 files each; return how many files go."""
    now, policy, none = datetime.now(UTC), RetentionPolicy(), frozenset[str]()
    old = (now - timedelta(days=90)).isoformat()
    tagged = [TaggedData(slot.tag(n), slot, "data", n, old, ()) for slot in SLOTS for n in range(1, 11)]
    content = {one.tag: frozenset(f"{one.slot} {one.number + k}" for k in range(100)) for one in tagged}
    written = now - timedelta(days=90)
    stored = {md5: RemoteFile(md5, 1, written) for files in content.values() for md5 in files}
    versions = decide_versions(tagged, {}, policy, now)
    return len(decide_files(stored, versions, content, none, none, none, policy, now).removed)


def plan_10000() -> None:
    """Print the times of a plan."""
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        folder = Path(scratch)
        prepare(folder)
        with guarded_server(folder) as server:
            records, policy = read_records(server.uri), RetentionPolicy(grace_days=0)
            now = datetime.now(UTC)
            ways = {
                "facts of 10,000 versions, over HTTP": partial(read_records, server.uri),
                "decision on 10,000 versions": partial(decide_retention, records.adapters, policy, now),
                "decision on 2,000 dataset versions": decide_data,
            }
            decided = decide_retention(records.adapters, policy, now)
            kept = sum(one.keep for one in decided.values())
            print(f"{len(records.adapters):,} versions, of them {kept:,} kept")
            for name, times in take_turns(ways, TURNS).items():
                print(f"{name:40s} {statistics.median(times):6.2f} s")


async def night(file: Path) -> None:
    """Print the size of Prefect's database after a night, and after its vacuum a time later."""
    from prefect.server.database import provide_database_interface
    from prefect.server.services import db_vacuum

    db = provide_database_interface()
    await db.create_db()
    empty = _size(file)
    ended = datetime.now(UTC) - timedelta(days=100)
    started = time.perf_counter()
    async with db.session_context(begin_transaction=True) as session:
        flow = db.Flow(name="retrain")
        session.add(flow)
        await session.flush()
        for number in range(RUNS):
            await _run(db, session, flow.id, number, ended)
    full = _size(file)
    print(f"{RUNS} runs: {(full - empty) / 1e6:.1f} MB in Prefect's database ({time.perf_counter() - started:.0f} s)")
    started = time.perf_counter()
    await db_vacuum.vacuum_old_flow_runs(db=db)
    await db_vacuum.vacuum_old_events(db=db)
    rows = {table: _count(file, table) for table in ("flow_run", "task_run", "flow_run_state", "log", "events")}
    took = time.perf_counter() - started
    print(f"after the vacuum ({took:.0f} s): {rows}; free for new rows: {_free(file) / 1e6:.1f} MB")


async def _run(db: Any, session: Any, flow: Any, number: int, ended: datetime) -> None:
    run = db.FlowRun(flow_id=flow, name=f"run-{number}", state_type="COMPLETED", end_time=ended, start_time=ended)
    session.add(run)
    await session.flush()
    for state in range(STATES):
        session.add(
            db.FlowRunState(
                flow_run_id=run.id, type="RUNNING", name=f"state {state}", timestamp=ended + timedelta(seconds=state)
            )
        )
    for task in range(TASKS):
        made = db.TaskRun(flow_run_id=run.id, task_key=f"task-{task}", dynamic_key="0", state_type="COMPLETED")
        session.add(made)
        await session.flush()
        for state in range(STATES):
            session.add(
                db.TaskRunState(
                    task_run_id=made.id,
                    type="RUNNING",
                    name=f"state {state}",
                    timestamp=ended + timedelta(seconds=state),
                )
            )
    for line in range(LINES):
        text = f"epoch {line}: loss 0.1234, WER 12.34 %, 8 of 24 epochs, 2 minutes left"
        session.add(db.Log(flow_run_id=run.id, name="elp", level=20, message=text, timestamp=ended))
    for event in range(EVENTS):
        body = {"occurred": ended, "event": f"prefect.task-run.{event}", "resource_id": f"prefect.task-run.{run.id}"}
        more = {"resource": {"prefect.resource.id": str(run.id)}, "related": [], "payload": {"state": "x" * 400}}
        session.add(
            db.Event(
                id=uuid.uuid4(), received=ended, recorded=ended, follows=None, related_resource_ids=[], **body, **more
            )
        )


def _size(file: Path) -> int:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.stat().st_size


def _count(file: Path, table: str) -> int:
    with sqlite3.connect(file) as connection:
        return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def _free(file: Path) -> int:
    with sqlite3.connect(file) as connection:
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    return int(pages) * int(size)


def main() -> None:
    plan_10000()
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        file = Path(scratch) / "prefect.db"
        # before Prefect reads its settings
        os.environ |= {
            "PREFECT_HOME": scratch,
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{file}",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        }
        asyncio.run(night(file))


if __name__ == "__main__":
    main()

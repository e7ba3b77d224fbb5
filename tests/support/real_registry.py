"""A guarded server with two trained, gated and promoted versions of one slot, and the workspace they came from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.audit.adapter_records import find_records
from pipelines.audit.data_index import open_index
from pipelines.audit.facts import Fact
from pipelines.audit.server_records import ServerRecords
from pipelines.audit.verify import Verification, start_verification, verify_adapter, verify_registry
from pipelines.gating.gate import gate_version
from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace
from pipelines.registry.client import server_api as guard
from pipelines.registry.slot import Slot
from pipelines.training.train import train_adapters
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.workspaces import isolate, workspace_with_data

SLOT = Slot("plant-a", "asr")
SETTINGS = """
backbone: {backbone}
defaults:
  asr:
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 1, batch_seconds: 8.0, min_steps: 4, device: cpu, seed: {seed}}}
    gate: {{limit: 1.5, margin: 1.0, min_slice: 1, resamples: 200, safety: {{max_slowdown: null}}}}
"""


@dataclass(frozen=True)
class Real:
    """A guarded server with two trained, gated and promoted versions of one slot, and the workspace they came from."""

    server: GuardedServer
    workspace: Workspace
    backbone: Path

    def sql(self, statement: str) -> None:
        """What somebody with the database file does."""
        with closing(sqlite3.connect(self.server.folder / "mlflow.db")) as db, db:
            db.execute(statement)

    def verification(self) -> Verification:
        return start_verification(self.workspace, ServerRecords(self.server.uri), lambda line: None)

    def registry(self) -> Fact:
        """`elp audit --verify`."""
        return verify_registry(self.verification())

    def adapter(self, tools: Verification | None = None) -> Fact:
        """`elp audit plant-a/asr --verify`."""
        subject = find_records(ServerRecords(self.server.uri), SLOT, 2)
        with open_index(self.workspace, lambda line: None) as db:
            return verify_adapter(db, tools or self.verification(), subject)

    def one(self, pattern: str, below: Path | None = None) -> Path:
        """The newest file of this pattern."""
        return max((below or self.server.artifacts).rglob(pattern), key=lambda path: path.stat().st_mtime_ns)


@contextmanager
def real_registry(folder: Path) -> Iterator[Real]:
    """Train, gate and promote twice, with keys and anchor in the environment while the block lasts."""
    from elp_core.testing import save_tiny

    with pytest.MonkeyPatch.context() as patch, guarded_server(folder / "server") as server:
        isolate(folder / "home", patch)
        patch.setenv("ELP_KEYS", str(server.keys))
        patch.setenv("ELP_LEDGER_CHECKPOINT", str(server.anchor))
        backbone = folder / "backbone"
        save_tiny(backbone)
        workspace = workspace_with_data(folder / "site", (SLOT,), SETTINGS.format(backbone=backbone, seed=0))
        for seed in (1, 2):
            settings = read_settings(SETTINGS.format(backbone=backbone, seed=seed))
            options = {"mlflow_uri": server.uri, "cache": folder / "cache"}
            done = train_adapters(str(workspace.root), {SLOT: SLOT.tag(1)}, settings, **options)
            version = done[SLOT].version
            assert gate_version(str(workspace.root), SLOT, settings, version, **options).verdict.passed
            guard.change_champion(server.uri, "promote", SLOT, version=version, by="ann", reason="better")
        yield Real(server, workspace, backbone)


@contextmanager
def put_right(made: Real) -> Iterator[Real]:
    """Whatever the block does to database, artifacts, remote, backbone and anchor is undone after it."""
    places = (made.server.artifacts, made.workspace.root / ".elp" / "remote", made.backbone)
    kept = {path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}
    anchor = made.server.anchor.read_bytes()
    with closing(sqlite3.connect(made.server.folder / "mlflow.db")) as db, closing(sqlite3.connect(":memory:")) as copy:
        db.backup(copy)
        yield made
        copy.backup(db)
    made.server.anchor.write_bytes(anchor)
    for path, content in kept.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def failed_lines(tree: Fact) -> list[str]:
    """Every failed fact of a verification, as a line."""
    return [f"{fact.name} {fact.value}: {fact.note}" for fact in tree.failed]

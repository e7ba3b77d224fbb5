"""A real workspace and a real server for `elp gc`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.datasets.drop import drop_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.subject import Subject
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.retention import POLICY_VARIABLE
from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.collected import AT_ONCE, SLOT
from tests.support.deliveries import write_delivery
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.rest import Rest
from tests.support.versions_by_hand import gate, promote, register
from tests.support.workspaces import isolate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """A champion that was trained on v1, and a version that the gate rejected."""
    folder = tmp_path_factory.mktemp("gc-server")
    with guarded_server(folder, environment={POLICY_VARIABLE: json.dumps(AT_ONCE)}) as running:
        rest, keys = Rest(running.uri), load_trusted_keys(running.keys)
        champion, rejected = (register(rest, SLOT.model_name, f"gc-{mark}", lineage=keys) for mark in (1, 2))
        gate(rest, champion, "passed", None, keys)
        promote(rest, champion)
        gate(rest, rejected, "failed", champion, keys)
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: GuardedServer) -> Iterator[Path]:
    """Three deliveries, then a drop: v4 holds nothing of anna's."""
    root = tmp_path_factory.mktemp("gc") / "site"
    with pytest.MonkeyPatch.context() as patch:
        isolate(root.parent / "home", patch)
        init_workspace(root)
        settings = {
            "remote": ".elp/remote",
            "servers": {"mlflow_uri": server.uri},
            "retention": AT_ONCE,
            "defaults": {"asr": {"data": {"min_speakers": 2}}},
        }
        (root / "elp.yaml").write_text(json.dumps(settings))
        subprocess.run(["git", "-C", str(root), "commit", "-qam", "Set it up"], check=True)
        workspace = open_workspace(root)
        for seed in range(3):
            add_delivery(workspace, SLOT, write_delivery(root.parent / f"delivery-{seed}", each=2, seed=seed))
        drop_clips(workspace, SLOT, Subject(speaker="anna"))
        yield root


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    """A copy of it, with its own remote."""
    shutil.copytree(made, tmp_path / "site", symlinks=True)
    return open_workspace(tmp_path / "site")

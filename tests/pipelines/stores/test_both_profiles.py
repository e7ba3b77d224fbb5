"""The same job on a laptop's files and on a team's servers gives the same bytes and numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from elp_core.testing import save_tiny
from pipelines.datasets.dvc import metafile, tracked_hash
from pipelines.datasets.ingest import add_delivery
from pipelines.gating.gate import gate_version
from pipelines.local import git
from pipelines.local.initialise import init_workspace
from pipelines.local.profiles import Profile
from pipelines.local.workspace import open_workspace
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from pipelines.training.train import train_adapters
from tests.support.guarded_server import Bucket, GuardedServer, guarded_server
from tests.support.object_store import OWNER, ObjectStore, write_secrets
from tests.support.postgres import Postgres
from tests.support.ssh_server import SshServer
from tests.support.workspaces import delivery

SLOT = Slot("plant-a", "asr")
SETTINGS = """
remote: {remote}
backbone: {backbone}
defaults:
  asr:
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: {epochs}, batch_seconds: 8.0, min_steps: 4, device: cpu, seed: 3}}
    gate: {{limit: 1.5, margin: 1.0, min_slice: 1, resamples: 200, safety: {{max_slowdown: null}}}}
"""
DIFFERS = ("lineage.json", "README.md", "manifest.json")
"""They name the run and its time; the manifest has their digests."""


@dataclass(frozen=True)
class Result:
    """What must not depend on where things are stored."""

    dataset: str
    key: str
    files: Mapping[str, str]
    """SHA-256 of the bundle's files by name."""
    verdict: Mapping[str, Any]


def _job(root: Path, profile: Profile, server: GuardedServer, source: Path, backbone: str, epochs: int) -> Result:
    """Take a delivery in, train, register and gate."""
    made = init_workspace(root, profile=profile)
    (root / "elp.yaml").write_text(SETTINGS.format(remote=profile.remote, backbone=backbone, epochs=epochs))
    git.commit(root, [Path("elp.yaml")], "Set it up")
    write_secrets(made.state, OWNER.data_environment())
    workspace = open_workspace(root)
    add_delivery(workspace, SLOT, source)
    options = {"mlflow_uri": server.uri, "cache": root.parent / f"{root.name}-cache"}
    done = train_adapters(str(root), {SLOT: SLOT.tag(1)}, workspace.settings, **options)
    verdict = gate_version(str(root), SLOT, workspace.settings, done[SLOT].version, **options).verdict.to_json()
    # seconds and bytes of memory on this machine
    verdict.pop("measured", None)
    # the details name the bundle's digest, in which the run and its time are
    verdict["checks"] = [(check["name"], check["passed"]) for check in verdict["checks"]]
    version = model_registry.get(connect(server.uri), SLOT, done[SLOT].version)
    # the server's first experiment
    stored = server.stored("1")
    bundle = {path.rpartition("/")[2]: content for path, content in stored.items() if "/artifacts/bundle/" in path}
    digest = tracked_hash((root / metafile(SLOT.folder / "shards")).read_text())
    files = {name: hashlib.sha256(content).hexdigest() for name, content in bundle.items() if name not in DIFFERS}
    return Result(digest, version.key, files, verdict)


@pytest.mark.parametrize(
    ("backbone", "kind"),
    [
        ("small", "s3"),
        pytest.param("elp:tiny", "s3", marks=pytest.mark.slow),
        pytest.param("elp:tiny", "ssh", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(900)
def test_both_profiles_give_the_same_adapter(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    store: ObjectStore,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    backbone: str,
    kind: str,
) -> None:
    source, name = delivery(tmp_path / "delivery"), f"both-{backbone[-4:]}-{kind}"
    if backbone == "small":
        backbone = str(tmp_path / "backbone")
        save_tiny(tmp_path / "backbone")
    team = Profile(f"s3://speech/{name}", s3_endpoint=store.endpoint)
    if kind == "ssh":
        ssh: SshServer = request.getfixturevalue("ssh")
        team = Profile(f"{ssh.address}{tmp_path}/remote")
    epochs = 1 if kind == "s3" else 2
    results = {}
    with guarded_server(tmp_path / "one") as server:
        monkeypatch.setenv("ELP_KEYS", str(server.keys))
        results["laptop"] = _job(tmp_path / "laptop", Profile(), server, source, backbone, epochs)
    bucket = Bucket(store, "speech", f"{name}-mlflow")
    with guarded_server(tmp_path / "two", postgres.database(name), bucket=bucket) as server:
        monkeypatch.setenv("ELP_KEYS", str(server.keys))
        results["team"] = _job(tmp_path / "team", team, server, source, backbone, epochs)
    assert results["team"] == results["laptop"]
    assert {"adapter_model.safetensors", "adapter_config.json"} <= results["team"].files.keys()
    assert results["team"].dataset
    assert results["team"].key

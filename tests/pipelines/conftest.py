"""The real servers and the workspace with data that several test modules share, one of each for a test process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from tests.support.audited import Ground, make_ground
from tests.support.environment import lasting
from tests.support.guarded_server import guarded_server
from tests.support.templates import compiled_once
from tests.support.workspaces import Site, isolate, workspace_with_data

SETTINGS = """
backbone: {backbone}
defaults:
  asr: &small
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 2, batch_seconds: 8.0, min_steps: 4, device: cpu}}
  asv: *small
"""


@pytest.fixture(scope="session", autouse=True)
def _templates() -> Iterator[None]:
    """The templates of the Data Docs, compiled once for all deliveries."""
    with compiled_once():
        yield


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Made once; tests only read it, and keep what they make in caches of their own."""
    from elp_core.testing import save_tiny

    folder = tmp_path_factory.mktemp("site")
    slots = Slot("plant-a", "asr"), Slot("plant-a", "asv")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        save_tiny(folder / "backbone")
        text = SETTINGS.format(backbone=folder / "backbone")
        workspace = workspace_with_data(folder / "workspace", slots, text)
    return Site(workspace, *slots)


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """What the audit's questions are asked of; tests read it, and change copies."""
    folder = tmp_path_factory.mktemp("ground")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        return make_ground(folder)


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running server with the guard, whose keys sign for the tests; each keeps to slots of its own."""
    with guarded_server(tmp_path_factory.mktemp("mlflow")) as server:
        lasting(ELP_KEYS=str(server.keys))
        yield server.uri


@pytest.fixture(scope="session")
def _fresh_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipelines.datasets.expectations import import_great_expectations
    from pipelines.local.initialise import init_workspace

    # tests that take deliveries in then do it in their own process, and not in one for each delivery
    import_great_expectations()
    with pytest.MonkeyPatch.context() as patch:
        isolate(tmp_path_factory.mktemp("home"), patch)
        return init_workspace(tmp_path_factory.mktemp("fresh") / "workspace").root


@pytest.fixture
def workspace(tmp_path: Path, _fresh_workspace: Path) -> Workspace:
    """An empty workspace of the test's own: Git, DVC and a remote inside it."""
    root = tmp_path / "workspace"
    shutil.copytree(_fresh_workspace, root)
    return open_workspace(root)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a cache folder that no other test has used."""
    return tmp_path / "cache"

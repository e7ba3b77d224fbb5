"""One workspace with data for the steps' tests, and the folders they work in."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.settings import Slot
from tests.support.workspaces import Site, isolate, workspace_with_data

SETTINGS = """
backbone: {backbone}
defaults:
  asr: &small
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 2, batch_seconds: 8.0, device: cpu}}
  asv: *small
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Made once; tests only read it, and keep what they make in caches of their own."""
    from elp_core.testing.backbones import tiny_model

    folder = tmp_path_factory.mktemp("site")
    slots = Slot("plant-a", "asr"), Slot("plant-a", "asv")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        tiny_model("hubert").save_pretrained(folder / "backbone")  # type: ignore[operator]
        text = SETTINGS.format(backbone=folder / "backbone")
        workspace = workspace_with_data(folder / "workspace", slots, text)
    return Site(workspace, *slots)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that no other test has seen."""
    return tmp_path / "cache"

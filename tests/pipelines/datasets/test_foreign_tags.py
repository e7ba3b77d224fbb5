"""Tags of other programs under ``data/`` and ``golden/`` are no dataset versions, whatever reads the tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.audit.data_index import open_index
from pipelines.datasets.data_slots import slots_with_data
from pipelines.datasets.dataset_version import SHARDS
from pipelines.datasets.dvc import metafile
from pipelines.datasets.versions import dataset_versions, find_latest
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.migration.migration_plan import _KeptData
from pipelines.orchestration.schedule_apply import slots_to_retrain
from pipelines.registry.slot import Slot
from pipelines.retention.named_data import named_elsewhere, tagged_data

SLOT = Slot("plant-a", "asr")
FOREIGN = ("data/2026/raw/v1", "data/Plant-A/asr/v1", "data/plant-a/asr/v3-old", "data/plant-a/asr/v²", "golden/a/b/v1")
MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("tag", [*FOREIGN, "data/plant-a/asr/v0", "data/plant-a/asr/v03", "data/plant-a/asr", "v1"])
def test_another_tag_names_no_version(tag: str) -> None:
    assert Slot.of_tag(tag) is None


@pytest.mark.parametrize("kind", ["data", "golden"])
def test_the_tag_of_a_version_names_it(kind: str) -> None:
    assert Slot.of_tag(SLOT.tag(12, kind)) == (SLOT, 12)


@pytest.fixture
def tagged(workspace: Workspace) -> Workspace:
    """A workspace with the tag of one version, and those of other programs on a commit with a ``.dvc`` file."""
    git.tag(workspace.root, SLOT.tag(1), "3 clips")
    other = metafile(Path("data/2026/raw") / SHARDS).with_name("audio.dvc")
    (workspace.root / other).parent.mkdir(parents=True)
    (workspace.root / other).write_text(f"outs:\n- md5: {MD5}\n")
    git.commit(workspace.root, [other], "Add data of another program")
    for tag in FOREIGN:
        git.tag(workspace.root, tag, "of another program")
    # the tags alone name the file
    git.git(workspace.root, "reset", "--quiet", "--hard", "HEAD~1")
    return workspace


def test_they_add_no_slot(tagged: Workspace) -> None:
    assert slots_to_retrain(tagged, pytest.fail) == [SLOT]
    assert slots_with_data(tagged.root) == {SLOT: 1}


def test_they_are_no_versions_of_a_slot(tagged: Workspace) -> None:
    assert dataset_versions(tagged, SLOT) == []
    assert find_latest(tagged, SLOT) is None, "the commit of v1 has no record"
    assert _KeptData.of(tagged).tags == {SLOT.tag(1)}


def test_what_they_name_is_kept(tagged: Workspace) -> None:
    versions = tagged_data(tagged.root)
    assert [one.tag for one in versions] == [SLOT.tag(1)]
    assert MD5 in named_elsewhere(tagged.root, versions)


def test_an_index_that_has_one_loses_it(tagged: Workspace) -> None:
    with open_index(tagged, lambda line: None) as db:
        assert db.execute("SELECT tag FROM release").fetchall() == [(SLOT.tag(1),)]
        db.execute("INSERT INTO release VALUES ('Plant-A/asr', 'data', 1, 'data/Plant-A/asr/v1', 'c', '', '', '')")
    with open_index(tagged, lambda line: None) as db:
        assert db.execute("SELECT tag FROM release").fetchall() == [(SLOT.tag(1),)]

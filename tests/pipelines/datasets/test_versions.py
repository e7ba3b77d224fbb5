from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.datasets import dvc, file_cache
from pipelines.datasets.data_slots import slots_with_data
from pipelines.datasets.dataset_version import SHARDS, DatasetVersion, GoldenRef, parse_record, record_text
from pipelines.datasets.golden_set import pin_golden
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.versions import (
    dataset_versions,
    golden_ref,
    load_golden,
    load_split,
    load_training_data,
    version_at,
)
from pipelines.errors import DataRefused, VersioningError
from pipelines.local import git
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import write_delivery
from tests.support.workspaces import isolate

pytestmark = pytest.mark.integration
SLOT, NO_TEST = Slot("plant-a", "asr"), Slot("no-test", "asr")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Two versions of one slot, and a slot without test clips; only read by the tests."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        workspace = init_workspace(folder / "workspace")
        add_delivery(workspace, SLOT, write_delivery(folder / "one", each=2))
        add_delivery(workspace, SLOT, write_delivery(folder / "two", each=2, seed=1))
        train = {f"doris_{take}": {"split": "train"} for take in range(2)}
        add_delivery(workspace, NO_TEST, write_delivery(folder / "three", each=2, seed=2, **train))
        yield workspace


@pytest.fixture
def workspace(filled: Workspace, tmp_path: Path) -> Workspace:
    """A copy to change."""
    shutil.copytree(filled.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace", filled.settings)


def test_versions_are_listed_from_a_folder_or_a_workspace(filled: Workspace) -> None:
    assert [version.clips for version in dataset_versions(filled, SLOT)] == [8, 16]
    assert dataset_versions(str(filled.root), SLOT) == dataset_versions(filled, SLOT)
    assert list(slots_with_data(filled.root)) == [NO_TEST, SLOT]
    assert dataset_versions(filled, Slot("nobody", "asr")) == []


@pytest.mark.parametrize("name", ["v1", "1", "data/plant-a/asr/v1"])
def test_a_version_has_several_names(filled: Workspace, name: str) -> None:
    assert version_at(filled, name, SLOT) == dataset_versions(filled, SLOT)[0]


def test_a_revision_in_between_has_the_version_in_force(filled: Workspace) -> None:
    assert version_at(filled, "HEAD", SLOT) == version_at(filled, "latest", SLOT)


@pytest.mark.parametrize("name", ["v7", "data/plant-a/asr/v7", "nonsense", "--help"])
def test_an_unknown_version_is_refused(filled: Workspace, name: str) -> None:
    with pytest.raises(VersioningError, match=r"has no dataset version .*elp data log plant-a/asr"):
        version_at(filled, name, SLOT)


def test_an_empty_slot_says_how_to_fill_it(filled: Workspace) -> None:
    with pytest.raises(VersioningError, match="no dataset version yet; add recordings with: elp data add nobody/asr"):
        version_at(filled, "latest", Slot("nobody", "asr"))


def test_a_record_survives_its_file(filled: Workspace) -> None:
    version, golden = version_at(filled, "latest", SLOT), golden_ref(filled, "latest", SLOT)
    assert parse_record(DatasetVersion, record_text(version)) == replace(version, revision="")
    assert parse_record(GoldenRef, record_text(golden)) == replace(golden, revision="")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2, "slot": "a/asr"}', '{"format": 1, "slot": "a/asr"}'])
def test_a_file_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(VersioningError, match=r"dataset\.json"):
        parse_record(DatasetVersion, text)


def test_a_record_of_the_first_release_is_read(filled: Workspace) -> None:
    text = json.loads(record_text(version_at(filled, "latest", SLOT)))
    for entry in text["deliveries"]:
        del entry["withdrawn"]
    for later in ("withdrawn", "classes"):
        del text[later]
    read = parse_record(DatasetVersion, json.dumps(text))
    assert [delivery.withdrawn for delivery in read.deliveries] == [0, 0]
    assert (read.withdrawn, read.classes) == ((), {})


def test_what_was_fetched_once_needs_no_remote(workspace: Workspace, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    once = load_split(str(workspace.root), "v1", SLOT, ("train",), cache)
    for held in (workspace.state / "remote", workspace.root / ".dvc" / "cache"):
        shutil.rmtree(held)
    assert load_split(str(workspace.root), "v1", SLOT, ("train",), cache) == once
    with pytest.raises(VersioningError, match="DVC could not fetch"):
        load_split(str(workspace.root), "v1", SLOT, ("train",), tmp_path / "other")


def test_a_new_version_fetches_only_its_new_shard(filled: Workspace, tmp_path: Path) -> None:
    root, folder = str(filled.root), SLOT.folder / SHARDS
    first = file_cache.fetch_folder(root, "data/plant-a/asr/v1", folder, tmp_path)
    second = file_cache.fetch_folder(root, "data/plant-a/asr/v2", folder, tmp_path)
    assert set(first) < set(second)
    assert len(list((tmp_path / "files").rglob("*.parquet"))) == 2


def test_an_altered_file_in_the_remote_is_not_taken(workspace: Workspace, tmp_path: Path) -> None:
    for path in (workspace.root / ".dvc" / "cache").rglob("*"):
        if path.is_file() and path.read_bytes()[:4] == b"PAR1":
            content = path.read_bytes()
            path.chmod(0o644)
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(VersioningError, match=r"expected .*the remote|could not fetch"):
        load_split(str(workspace.root), "v1", SLOT, None, tmp_path / "cache")


def test_metadata_comes_without_audio(filled: Workspace, tmp_path: Path) -> None:
    clips = load_split(str(filled.root), "latest", SLOT, None, tmp_path, "meta")
    assert len(clips) == 16
    assert not any(clip.audio for clip in clips)


def test_the_data_of_a_training_is_read_once(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, fetched, fetch = str(filled.root), [], file_cache.fetch_folder
    monkeypatch.setattr(file_cache, "fetch_folder", lambda *given: (fetched.append(given[2].name), fetch(*given))[1])
    data = load_training_data(root, "v2", SLOT, tmp_path)
    assert fetched == ["shards", "golden"]
    assert data.dataset == version_at(filled, "v2", SLOT)
    assert data.golden == golden_ref(filled, "v1", SLOT)
    assert data.train == load_split(root, "v2", SLOT, ("train",), tmp_path)
    assert data.validation == load_split(root, "v2", SLOT, ("validation",), tmp_path)
    assert (len(data.train), len(data.validation)) == (8, 4)
    assert load_training_data(root, "v1", NO_TEST, tmp_path).golden is None


def test_the_golden_set_stays_until_it_is_pinned_anew(workspace: Workspace, tmp_path: Path) -> None:
    root = str(workspace.root)
    assert version_at(workspace, "latest", SLOT).golden == "golden/plant-a/asr/v1"
    pinned = pin_golden(workspace, SLOT, "v2")
    assert (pinned.version, pinned.clips, pinned.source_tag) == (2, 4, "data/plant-a/asr/v2")
    assert len(load_golden(root, "latest", SLOT, tmp_path / "cache").clips) == 4
    assert len(load_golden(root, "data/plant-a/asr/v2", SLOT, tmp_path / "cache").clips) == 2
    assert git.git(workspace.root, "status", "--porcelain") == ""


def test_a_version_after_a_new_golden_set_names_it(workspace: Workspace, tmp_path: Path) -> None:
    pinned = pin_golden(workspace, SLOT, "v2")
    third = add_delivery(workspace, SLOT, write_delivery(tmp_path / "more", each=2, seed=5))
    assert third.golden == pinned.tag


def test_the_same_golden_set_is_not_pinned_twice(workspace: Workspace) -> None:
    head = git.resolve(workspace.root)
    assert pin_golden(workspace, SLOT, "v1").version == 1
    assert git.resolve(workspace.root) == head


def test_without_test_clips_there_is_no_golden_set(workspace: Workspace) -> None:
    assert version_at(workspace, "latest", NO_TEST).golden == ""
    with pytest.raises(VersioningError, match="has no golden set at latest"):
        golden_ref(workspace, "latest", NO_TEST)
    with pytest.raises(DataRefused, match="data/no-test/asr/v1 has no test clip"):
        pin_golden(workspace, NO_TEST, "v1")


def test_a_failed_pin_brings_the_old_set_back(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = workspace.root / SLOT.folder / "golden"
    before = {path.name for path in folder.iterdir()}

    def refuse(*_: object) -> None:
        raise VersioningError("no remote")

    with monkeypatch.context() as patch:
        patch.setattr(dvc, "push", refuse)
        with pytest.raises(VersioningError, match="no remote"):
            pin_golden(workspace, SLOT, "v2")
    assert {path.name for path in folder.iterdir()} == before
    assert git.git(workspace.root, "status", "--porcelain") == ""
    assert pin_golden(workspace, SLOT, "v2").version == 2

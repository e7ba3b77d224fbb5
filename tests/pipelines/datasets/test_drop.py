from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from elp_core.types import Clip
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.subject import Subject
from pipelines.datasets.versions import dataset_versions, load_golden, load_split, version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.deliveries import silence, write_delivery
from tests.support.workspaces import isolate

pytestmark = pytest.mark.integration
SLOT = Slot("plant", "asr")
SETTINGS = "remote: .elp/remote\ndefaults: {asr: {data: {min_speakers: 2}}}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A slot with two deliveries: four speakers and one broken clip of anna's, then three more of them."""
    from pipelines.local.initialise import init_workspace
    from pipelines.local.workspace import open_workspace

    root = tmp_path_factory.mktemp("drop")
    with pytest.MonkeyPatch.context() as patch:
        isolate(root / "home", patch)
        init_workspace(root / "site")
        (root / "site" / "elp.yaml").write_text(SETTINGS)
        subprocess.run(["git", "-C", str(root / "site"), "commit", "-qam", "Set it up"], check=True)
        workspace = open_workspace(root / "site")
        spoilt = {"anna_0": {"bytes": silence()}}
        add_delivery(workspace, SLOT, write_delivery(root / "one", each=4, **spoilt))
        add_delivery(workspace, SLOT, write_delivery(root / "two", each=2, seed=1))
        yield workspace


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """A clone of it with the same remote: a drop brings back what is not here."""
    from pipelines.local.workspace import open_workspace

    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(made.root), str(root)], check=True)
    (root / ".elp").mkdir()
    (root / ".elp" / "remote").symlink_to(made.root / ".elp" / "remote")
    return open_workspace(root)


def _clips(workspace: Workspace, version: str, tmp_path: Path) -> list[Clip]:
    return load_split(str(workspace.root), version, SLOT, None, tmp_path / "cache", "meta")


def test_a_speaker_is_gone_from_the_new_version_and_from_it_alone(workspace: Workspace, tmp_path: Path) -> None:
    before = _clips(workspace, "v2", tmp_path)
    done = drop_clips(workspace, SLOT, Subject(speaker="anna"))
    after = _clips(workspace, "v3", tmp_path)
    assert [clip for clip in before if clip.speaker != "anna"] == after
    assert (done.dataset.version, done.clips, done.quarantined, done.golden) == (3, 5, 1, None)
    assert (done.dataset.clips, done.dataset.speakers, done.dataset.quarantined) == (len(after), 3, 0)
    assert _clips(workspace, "v2", tmp_path) == before
    assert done.dataset.splits == {split: sum(c.split == split for c in after) for split in done.dataset.splits}


def test_shards_without_the_speaker_stay_the_same_files(workspace: Workspace) -> None:
    clip = _clips(workspace, "v1", workspace.root.parent)[0].id
    before = version_at(workspace, "v2", SLOT)
    done = drop_clips(workspace, SLOT, Subject(clip=clip[:12]))
    assert done.clips == 1
    assert len(set(before.shards) & set(done.dataset.shards)) == 1
    assert done.dataset.dvc_hash != before.dvc_hash


def test_a_test_speaker_leaves_the_golden_set_which_becomes_a_new_one(workspace: Workspace, tmp_path: Path) -> None:
    clip = load_golden(str(workspace.root), "latest", SLOT, tmp_path / "cache").clips[0].id
    done = drop_clips(workspace, SLOT, Subject(clip=clip))
    assert done.golden is not None
    assert (done.golden.tag, done.golden.source_tag) == ("golden/plant/asr/v2", "data/plant/asr/v3")
    now = load_golden(str(workspace.root), "latest", SLOT, tmp_path / "cache")
    assert clip not in {one.id for one in now.clips}
    assert clip in {one.id for one in load_golden(str(workspace.root), "v1", SLOT, tmp_path / "cache").clips}
    assert done.dataset.golden == now.tag


def test_dropped_clips_stay_out_of_later_deliveries(workspace: Workspace, tmp_path: Path) -> None:
    drop_clips(workspace, SLOT, Subject(speaker="anna"))
    version = add_delivery(
        workspace, SLOT, write_delivery(tmp_path / "again", each=5, **{"anna_0": {"bytes": silence()}})
    )
    entry = version.deliveries[-1]
    assert (entry.withdrawn, entry.repeats) == (3, 12)
    assert version.withdrawn == version_at(workspace, "v3", SLOT).withdrawn
    assert [c.id for c in _clips(workspace, "latest", tmp_path) if c.id in version.withdrawn] == []


def test_whose_clips_they_were_is_not_written_into_git(workspace: Workspace) -> None:
    drop_clips(workspace, SLOT, Subject(speaker="anna"))
    history = subprocess.run(
        ["git", "-C", str(workspace.root), "log", "-p"], capture_output=True, text=True, check=True
    )
    assert "Drop 5 clips from plant/asr (v3)" in history.stdout
    assert "anna" not in history.stdout


@pytest.mark.parametrize(
    ("who", "error", "history"),
    [
        (Subject(speaker="nobody"), UsageError, "holds nothing of speaker nobody; find what does: elp audit plant/asr"),
        (Subject(speaker="doris"), DataRefused, "no clip of golden/plant/asr/v1 would be left; add test clips"),
    ],
)
def test_what_cannot_be_dropped_changes_nothing(
    workspace: Workspace, who: Subject, error: type[Exception], history: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("data/**/*.json")}
    with pytest.raises(error, match=history):
        drop_clips(workspace, SLOT, who)
    assert {path: path.stat().st_mtime_ns for path in workspace.root.rglob("data/**/*.json")} == before
    assert len(dataset_versions(workspace, SLOT)) == 2


def test_what_is_left_must_pass_the_checks_of_any_delivery(workspace: Workspace) -> None:
    drop_clips(workspace, SLOT, Subject(speaker="anna"))
    drop_clips(workspace, SLOT, Subject(speaker="bert"))
    with pytest.raises(DataRefused, match="too few speakers: 1, expected 2 or more"):
        drop_clips(workspace, SLOT, Subject(speaker="carla"))


def test_a_failed_drop_is_undone(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.datasets import dvc
    from pipelines.errors import VersioningError

    drop_clips(workspace, SLOT, Subject(clip=_clips(workspace, "v1", workspace.root.parent)[0].id))
    names = sorted(path.name for path in workspace.root.rglob("*.parquet"))

    def gone(root: Path, folders: object) -> None:
        raise VersioningError("the remote is gone")

    monkeypatch.setattr(dvc, "push", gone)
    with pytest.raises(VersioningError, match="the remote is gone"):
        drop_clips(workspace, SLOT, Subject(speaker="anna"))
    assert sorted(path.name for path in workspace.root.rglob("*.parquet")) == names
    assert len(dataset_versions(workspace, SLOT)) == 3


def test_a_whole_file_in_quarantine_does_not_keep_the_sound_of_its_channel(
    workspace: Workspace, tmp_path: Path
) -> None:
    call = np.stack([voice(1.5, 310, 91), voice(1.5, 710, 92)], axis=1)
    row = json.dumps({"audio_filepath": "call.wav", "text": "go on"})
    quarantine = workspace.root / SLOT.folder / "quarantine"
    mixed, split = write_delivery(tmp_path / "mixed", each=2, seed=5), tmp_path / "split" / "manifest.jsonl"
    split.parent.mkdir()
    split.write_text(row)
    mixed.write_text(f"{mixed.read_text()}\n{row}\n")
    for manifest, options in ((mixed, {}), (split, {"channel": "each"})):
        (manifest.parent / "call.wav").write_bytes(wav(call))
        add_delivery(workspace, SLOT, manifest, options=options)

    def whole() -> list[bool]:
        rows = [row for path in quarantine.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
        return [bool(row["bytes"]) for row in rows if row["path"] == "call.wav"]

    assert whole() == [True]
    done = drop_clips(workspace, SLOT, Subject(speaker="call.wav-left"))
    assert (done.clips, done.quarantined, done.muted) == (1, 0, 1)
    assert whole() == [False]

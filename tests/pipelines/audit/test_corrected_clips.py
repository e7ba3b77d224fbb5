"""A recording that was delivered under a wrong name is found by its right one, everywhere that it was ever stored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.audit.data_index import open_index
from pipelines.audit.trained_on import rows_of
from pipelines.datasets.correct import correct_clips
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.subject import Subject
from pipelines.local.workspace import Workspace, open_workspace
from tests.support.audited import ASR, Ground
from tests.support.deliveries import write_manifest

pytestmark = pytest.mark.integration


@pytest.fixture
def copy(ground: Ground, tmp_path: Path) -> Workspace:
    """The workspace with everything in it, to be changed."""
    shutil.copytree(ground.workspace.root, tmp_path / "site", symlinks=True)
    shutil.rmtree(tmp_path / "site" / ".elp" / "cache", ignore_errors=True)
    return open_workspace(tmp_path / "site")


def _found(workspace: Workspace, speaker: str) -> set[tuple[str, str]]:
    """Ids and names of the rows that belong to a speaker."""
    where, values = rows_of(Subject(speaker=speaker))
    with open_index(workspace, lambda line: None) as db:
        return {(clip.hex(), name) for clip, name in db.execute(f"SELECT id, speaker FROM clip WHERE {where}", values)}


def test_an_erasure_finds_the_recording_under_its_earlier_name(copy: Workspace, tmp_path: Path) -> None:
    every = sorted(clip for clip, _ in _found(copy, "ann"))
    clip = every[0]
    (tmp_path / "in").mkdir()
    file = write_manifest(tmp_path / "in", [{"id": clip, "speaker": "zoe"}])
    correct_clips(copy, ASR, file)
    assert _found(copy, "zoe") == {(clip, "ann"), (clip, "zoe")}
    # the files of the versions before name ann, and the new version does not
    assert {found for found, _ in _found(copy, "ann")} == set(every)
    assert (clip, "zoe") not in _found(copy, "ann")
    # the step after this one of an erasure still finds the old files
    drop_clips(copy, ASR, Subject(speaker="zoe"))
    assert _found(copy, "zoe") == {(clip, "ann"), (clip, "zoe")}


def test_who_never_had_another_name_is_found_as_before(copy: Workspace) -> None:
    for speaker in ("ann", "ben"):
        assert {name for _, name in _found(copy, speaker)} == {speaker}
    assert _found(copy, "nobody") == set()


def test_the_earlier_name_counts_in_files_of_no_known_version(copy: Workspace, tmp_path: Path) -> None:
    every = sorted(clip for clip, _ in _found(copy, "ann"))
    (tmp_path / "in").mkdir()
    correct_clips(copy, ASR, write_manifest(tmp_path / "in", [{"id": every[0], "speaker": "zoe"}]))
    with open_index(copy, lambda line: None) as db:
        # as in an index that was built when the listings of the versions before were gone
        db.execute("DELETE FROM span WHERE slot != ? OR last < 3", (str(ASR),))
        both = {(every[0], "ann"), (every[0], "zoe")}
        where, values = rows_of(Subject(speaker="zoe"))
        rows = f"SELECT id, speaker FROM clip WHERE {where}"
        assert {(clip.hex(), name) for clip, name in db.execute(rows, values)} == both
        # no version that is known decides any more
        db.execute("DELETE FROM span")
        assert {(clip.hex(), name) for clip, name in db.execute(rows, values)} == both

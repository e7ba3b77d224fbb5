"""A published list of trials: taken in, pinned, changed by an erasure, and named wherever its figures are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from elp_core.data.trials import TrialList
from elp_core.errors import CorpusError
from pipelines.cli.data_verbs import data
from pipelines.datasets.dataset_version import TRIALS_FILE
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.golden_set import pin_golden
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.resplit import resplit_slot
from pipelines.datasets.subject import Subject
from pipelines.datasets.trial_files import read_positions, read_trial_list, write_positions
from pipelines.datasets.versions import find_latest, golden_ref, load_golden
from pipelines.errors import DataRefused, IntakeError, UsageError, VersioningError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support import corpora
from tests.support.deliveries import silence

ASV, ASR = Slot("plant-a", "asv"), Slot("plant-a", "asr")
TESTED = (10270, 10271, 10272)


def pinned(workspace: Workspace) -> TrialList:
    found = load_golden(str(workspace.root), "latest", ASV, workspace.state / "cache").trials
    assert found is not None
    return found


@pytest.mark.integration
def test_the_official_list_is_the_golden_set_s_trials(workspace: Workspace, tmp_path: Path) -> None:
    source = corpora.voxceleb(tmp_path / "vox", (10001, 10002), TESTED)
    version = add_delivery(workspace, ASV, source)
    assert version.splits == {"test": 12, "train": 8}
    ref = golden_ref(workspace, "latest", ASV)
    assert ref.evaluation == "VoxCeleb1; VoxCeleb1-O (veri_test2.txt): 12 trials"
    trials, golden = pinned(workspace), load_golden(str(workspace.root), "latest", ASV, workspace.state / "cache")
    speakers = {clip.id: clip.speaker for clip in golden.clips}
    listed = read_trial_list(source / "veri_test2.txt")
    expected = [(target, a.split("/")[0], b.split("/")[0]) for target, a, b in listed.pairs]
    pairs = zip(trials.targets, trials.first, trials.second, strict=True)
    assert [(target, speakers[a], speakers[b]) for target, a, b in pairs] == expected
    # Git keeps neither a file's name nor a speaker's
    text = git.show(workspace.root, ref.revision, ASV.folder / TRIALS_FILE) or ""
    assert set(text) <= set("0123456789 \n")
    shown = CliRunner().invoke(data, ["show", "-w", str(workspace.root), "plant-a/asv"]).stdout
    assert "protocol    VoxCeleb1" in shown
    # the same corpus again is the same delivery; another list would be another one
    assert add_delivery(workspace, ASV, source).version == 1


@pytest.mark.integration
def test_trials_of_clips_in_quarantine_are_left_out_and_counted(workspace: Workspace, tmp_path: Path) -> None:
    source = corpora.voxceleb(tmp_path / "vox", (10001, 10002), TESTED)
    (source / "wav" / "id10272" / "7gWzIy6yIIk" / "00002.wav").write_bytes(silence())
    add_delivery(workspace, ASV, source)
    assert str(golden_ref(workspace, "latest", ASV).trials).endswith("(veri_test2.txt): 11 trials, 1 left out")
    assert len(pinned(workspace)) == 11


@pytest.mark.integration
def test_an_erasure_takes_the_trials_of_its_clips(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASV, corpora.voxceleb(tmp_path / "vox", (10001, 10002), TESTED))
    dropped = drop_clips(workspace, ASV, Subject("id10271"))
    assert dropped.golden is not None
    assert dropped.golden.trials is not None
    assert (dropped.golden.trials.count, dropped.golden.trials.left_out) == (6, 6)
    golden = load_golden(str(workspace.root), "latest", ASV, workspace.state / "cache")
    assert {*pinned(workspace).first, *pinned(workspace).second} <= {clip.id for clip in golden.clips}
    assert "id10271" not in {clip.speaker for clip in golden.clips}
    with pytest.raises(DataRefused, match="no trial of one kind of VoxCeleb1-O"):
        drop_clips(workspace, ASV, Subject("id10272"))


@pytest.mark.integration
def test_a_list_is_pinned_by_command_and_kept_by_the_next_golden_set(workspace: Workspace, tmp_path: Path) -> None:
    source = corpora.voxceleb(tmp_path / "vox", (10001, 10002), TESTED)
    listed = corpora.text(
        tmp_path / "mine.txt",
        "id10270/1zcIwhmdeo4/00001.wav id10270/7gWzIy6yIIk/00001.wav target",
        "id10270/1zcIwhmdeo4/00001.wav id10271/7gWzIy6yIIk/00001.wav nontarget",
    )
    add_delivery(workspace, ASV, source)
    arguments = ["golden", "-w", str(workspace.root), "plant-a/asv", "--from", "v1"]
    first = json.loads(CliRunner().invoke(data, [*arguments, "--json"]).stdout)
    # the list in force stays, so nothing changes
    assert (first["version"], first["trials"]["count"]) == (1, 12)
    second = json.loads(CliRunner().invoke(data, [*arguments, "--trials", str(listed), "--json"]).stdout)
    assert (second["version"], second["trials"]) == (
        2, {"name": "mine.txt", "digest": pinned(workspace).digest, "count": 2, "left_out": 0},
    )  # fmt: skip
    more = corpora.voxceleb(tmp_path / "more", (), (10280, 10281), "other.txt")
    add_delivery(workspace, ASV, more)
    third = pin_golden(workspace, ASV, "v2")
    assert (third.version, third.clips, third.trials.count if third.trials else 0) == (3, 20, 2)
    assert len(pinned(workspace)) == 2
    with pytest.raises(UsageError, match="plant-a/asr is not judged on trials"):
        pin_golden(workspace, ASR, "v1", listed)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "1 id10270/1zcIwhmdeo4/00001.wav id10271/1zcIwhmdeo4/00001.wav",
            "the speakers of the clips contradict 1 trial;",
        ),
        (
            "1 id10270/1zcIwhmdeo4/00001.wav id10270/7gWzIy6yIIk/00001.wav",
            "expected some of one speaker and some of two",
        ),
        ("0 00001.wav 00002.wav", "00001.wav is the end of several clips' paths"),
        ("yes a b", "line 1: expected 1 or 0 and two files"),
        ("", "is not a list of trials"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(workspace: Workspace, tmp_path: Path, line: str, says: str) -> None:
    add_delivery(workspace, ASV, corpora.voxceleb(tmp_path / "vox", (10001, 10002), TESTED))
    with pytest.raises(IntakeError, match=says):
        pin_golden(workspace, ASV, "v1", corpora.text(tmp_path / "list.txt", line))
    assert golden_ref(workspace, "latest", ASV).version == 1


@pytest.mark.integration
def test_other_tasks_take_the_corpus_without_its_trials(workspace: Workspace, tmp_path: Path) -> None:
    slot = Slot("plant-a", "asr")
    source = corpora.voxceleb(tmp_path / "vox", (10001, 10002), TESTED)
    with pytest.raises(DataRefused, match="empty_transcript"):
        add_delivery(workspace, slot, source)
    assert find_latest(workspace, slot) is None


@pytest.mark.integration
def test_changed_trials_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASV, corpora.voxceleb(tmp_path / "vox", (10001, 10002), TESTED))
    path = workspace.root / ASV.folder / TRIALS_FILE
    for text in (path.read_text()[:-6], "1 2\n", "1 0 99\n", ""):
        path.write_text(text)
        git.git(workspace.root, "commit", "-qam", "change the trials")
        git.git(workspace.root, "tag", "-f", "golden/plant-a/asv/v1")
        with pytest.raises((VersioningError, CorpusError), match=r"restore|beyond the 12"):
            load_golden(str(workspace.root), "latest", ASV, workspace.state / "cache")


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), max_size=30), st.permutations("abcdefghij")
)
def test_positions_are_read_as_they_were_written(rows: list[tuple[bool, int, int]], clips: list[str]) -> None:
    trials = TrialList(
        "a list",
        tuple(clips[a] for _, a, _ in rows),
        tuple(clips[b] for *_, b in rows),
        tuple(target for target, *_ in rows),
    )
    assert read_positions(write_positions(trials, clips), "a list", clips[::-1]) == trials


@pytest.mark.integration
def test_a_resplit_leaves_the_list_and_its_clips_together(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASV, corpora.voxceleb(tmp_path / "vox", (10001, 10002, 10003, 10004), TESTED))
    before = pinned(workspace)
    with pytest.raises(
        DataRefused, match=r"the resplit was refused.*\n.*which are between its clips; leave --golden out"
    ):
        resplit_slot(workspace, ASV, golden=True)
    assert resplit_slot(workspace, ASV).stored
    assert pinned(workspace) == before

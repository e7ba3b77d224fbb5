from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elp_core.audio import load
from elp_core.types import SAMPLE_RATE
from pipelines.datasets.checks import docs_folder
from pipelines.datasets.delivery_plan import plan_delivery
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.slot_shards import quarantined_clips, slot_shards
from pipelines.datasets.versions import dataset_versions, load_golden, load_split
from pipelines.errors import WorkspaceError
from pipelines.local import git
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.deliveries import not_a_number, silence, ten_hours, write_delivery

pytestmark = pytest.mark.integration
ASR, ASV = Slot("plant-a", "asr"), Slot("plant-a", "asv")


def with_policy(workspace: Workspace, slot: Slot, **data: object) -> Workspace:
    return replace(workspace, settings=replace(workspace.settings, slots={str(slot): {"data": data}}))


def shard_files(workspace: Workspace, slot: Slot) -> list[Path]:
    return sorted((workspace.root / slot.folder / "shards").glob("*.parquet"))


def test_a_delivery_becomes_a_version(workspace: Workspace, tmp_path: Path) -> None:
    made = add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))
    assert (made.version, made.tag, made.clips, made.speakers) == (1, "data/plant-a/asr/v1", 12, 4)
    assert made.splits == {"test": 3, "train": 6, "validation": 3}
    assert made.seconds == pytest.approx(6.0)
    assert git.resolve(workspace.root, made.tag) == made.revision == git.resolve(workspace.root)
    assert git.git(workspace.root, "status", "--porcelain") == ""
    assert (docs_folder(workspace, ASR) / "index.html").is_file()
    assert not (workspace.state / "staging" / "plant-a.asr").exists()
    train = load_split(str(workspace.root), made.tag, ASR, ("train",), tmp_path / "cache")
    golden = load_golden(str(workspace.root), made.tag, ASR, tmp_path / "cache")
    assert {clip.speaker for clip in train} == {"anna", "bert"}
    assert {clip.speaker for clip in golden.clips} == {"doris"}
    assert golden.tag == made.golden == "golden/plant-a/asr/v1"
    assert all(clip.duration * SAMPLE_RATE == 8000 and clip.audio[:4] == b"fLaC" for clip in train)


def test_the_same_delivery_again_makes_no_version(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in")
    calls: list[str] = []
    first = add_delivery(workspace, ASR, source, meanwhile=lambda: calls.append("first"))
    moved = shutil.copytree(tmp_path / "in", tmp_path / "again")
    assert add_delivery(workspace, ASR, source, meanwhile=lambda: calls.append("again")) == first
    assert add_delivery(workspace, ASR, Path(moved)) == first
    assert calls == ["first"]
    assert git.resolve(workspace.root) == first.revision


def test_clips_that_are_there_already_are_left_out_and_counted(workspace: Workspace, tmp_path: Path) -> None:
    first = add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))
    fewer = write_delivery(tmp_path / "fewer", each=2)
    assert add_delivery(workspace, ASR, fewer) == first
    second = add_delivery(workspace, ASR, write_delivery(tmp_path / "more", each=4))
    assert (second.version, second.clips) == (2, 16)
    assert (second.deliveries[-1].repeats, second.deliveries[-1].clips) == (12, 4)


def test_new_data_adds_a_shard_and_touches_nothing_else(workspace: Workspace, tmp_path: Path) -> None:
    first = add_delivery(workspace, ASR, write_delivery(tmp_path / "one"))
    before = {path.name: path.stat() for path in shard_files(workspace, ASR)}
    second = add_delivery(workspace, ASR, write_delivery(tmp_path / "two", seed=1))
    after = {path.name: path.stat() for path in shard_files(workspace, ASR)}
    assert len(after) == 2
    assert all(after[name].st_mtime_ns == was.st_mtime_ns for name, was in before.items())
    assert second.golden == first.golden
    assert [version.clips for version in dataset_versions(workspace, ASR)] == [12, 24]
    assert load_split(str(workspace.root), "v1", ASR, None, tmp_path / "cache", "meta") != []


def test_a_bad_clip_goes_to_quarantine_with_its_reason(workspace: Workspace, tmp_path: Path) -> None:
    bad = {
        "anna_0": {"bytes": b"RIFF broken"},
        "anna_1": {"bytes": b""},
        "anna_2": {"bytes": not_a_number()},
        "anna_3": {"bytes": silence()},
        "bert_0": {"bytes": ten_hours()},
        "bert_1": {"text": "  "},
        "bert_2": {"text": "turn to 90°"},
        "bert_3": {"text": "far too many words for half a second"},
        "carla_0": {"bytes": wav(voice(0.05, 300, 9))},
        "carla_1": {"bytes": wav(4 * voice(0.5, 300, 9).clip(-0.25, 0.25) * 4)},
    }
    generous = with_policy(workspace, ASR, max_quarantined=0.5, max_clipping=0.01)
    made = add_delivery(generous, ASR, write_delivery(tmp_path / "in", each=12, **bad))
    assert made.quarantine == {
        "clipped": 1,
        "corrupt": 1,
        "empty": 1,
        "empty_transcript": 1,
        "nan": 1,
        "outside_alphabet": 1,
        "silent": 1,
        "too_long": 1,
        "too_short": 1,
        "transcript_too_long": 1,
    }
    assert (made.clips, made.quarantined) == (38, 10)


def test_quarantine_counts_what_it_holds(workspace: Workspace, tmp_path: Path) -> None:
    spoilt = {"anna_0": {"bytes": silence()}, "bert_0": {"text": "turn to 90°"}}
    first = add_delivery(workspace, ASR, write_delivery(tmp_path / "in", **spoilt))
    # the same bad files, one of them with another fault as well as before, and one good clip
    again = write_delivery(tmp_path / "again", **spoilt, carla_0={"bytes": wav(voice(0.5, 700, 99))})
    plan = plan_delivery(workspace, ASR, again)
    second = add_delivery(workspace, ASR, again)
    assert first.quarantine == second.quarantine == {"outside_alphabet": 1, "silent": 1}
    assert (second.quarantined, second.deliveries[-1].quarantined, plan.quarantined) == (2, 2, 2)
    assert len(quarantined_clips(workspace, ASR)) == 2
    # nothing but bad clips that are held already: no version, and the plan says so
    same = write_delivery(tmp_path / "same", each=1, bert_0={"text": "turn to 90°"}, anna_0={"bytes": silence()})
    generous = with_policy(workspace, ASR, max_quarantined=0.5)
    assert plan_delivery(generous, ASR, same).version == ""
    assert add_delivery(generous, ASR, same) == second


def test_a_delivery_is_read_once_and_quarantine_keeps_its_bytes(workspace: Workspace, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    source = write_delivery(tmp_path / "in", anna_0={"bytes": b"RIFF broken"})
    made = add_delivery(workspace, ASR, source, progress=lambda *_: shutil.rmtree(source.parent, ignore_errors=True))
    assert not source.parent.exists()
    assert (made.clips, made.quarantine) == (11, {"corrupt": 1})
    table = pq.read_table(workspace.root / ASR.folder / "quarantine")
    assert table.select(["path", "reason", "bytes"]).to_pylist() == [
        {"path": "audio/anna_0.wav", "reason": "corrupt", "bytes": b"RIFF broken"}
    ]
    assert git.show(workspace.root, made.tag, ASR.folder / "quarantine.dvc") is not None


def test_speaker_verification_needs_no_words_but_a_speaker(workspace: Workspace, tmp_path: Path) -> None:
    silent_words = {f"{name}_{take}": {"text": ""} for name in ("anna", "bert") for take in range(3)}
    made = add_delivery(workspace, ASV, write_delivery(tmp_path / "in", **silent_words, doris_0={"speaker": ""}))
    assert made.quarantine == {"no_speaker": 1}


def test_a_slot_settings_closed_set_is_written_in_the_record(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", anna_0={"split": "test"})
    assert add_delivery(with_policy(workspace, ASR, closed_set=True), ASR, source).closed_set is True


def test_splits_that_the_source_does_not_name_follow_the_speaker(workspace: Workspace, tmp_path: Path) -> None:
    unnamed = {f"{name}_{take}": {"split": ""} for name in ("anna", "bert", "carla", "doris") for take in range(3)}
    even = with_policy(workspace, ASR, test_share=0.4, validation_share=0.3)
    add_delivery(even, ASR, write_delivery(tmp_path / "in", **unnamed))
    assert count_shards(shard_files(workspace, ASR)).shared == ()


def test_noise_makes_other_clips_of_the_same_recordings(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in")
    clean = add_delivery(workspace, ASR, source)
    noisy = add_delivery(workspace, ASR, source, options={"noise": "factory", "snr": 5})
    assert (clean.clips, noisy.clips) == (12, 24)
    assert noisy.conditions == {"": 12, "factory-5db": 12}


def test_a_fresh_clone_adds_to_what_the_remote_holds(workspace: Workspace, tmp_path: Path) -> None:
    remote = f"url = {tmp_path / 'workspace' / '.elp' / 'remote'}"
    config = workspace.root / ".dvc" / "config"
    config.write_text(config.read_text().replace("url = ../.elp/remote", remote))
    git.commit(workspace.root, [Path(".dvc/config")], "Share the remote")
    add_delivery(workspace, ASR, write_delivery(tmp_path / "one"))
    git.git(tmp_path, "clone", "--quiet", str(workspace.root), "clone")
    clone = open_workspace(tmp_path / "clone")
    made = add_delivery(clone, ASR, write_delivery(tmp_path / "two", seed=1))
    assert (made.version, made.clips, len(shard_files(clone, ASR))) == (2, 24, 2)


def test_a_stray_file_among_the_shards_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASR, write_delivery(tmp_path / "one"))
    (workspace.root / ASR.folder / "shards" / "mine.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkspaceError, match=r"belong to no version \(mine.parquet\)"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "two", seed=1))


def test_progress_tells_clips_and_seconds(workspace: Workspace, tmp_path: Path) -> None:
    reported: list[tuple[int, int, float]] = []
    add_delivery(workspace, ASR, write_delivery(tmp_path / "in"), progress=lambda *what: reported.append(what))
    assert [done for done, _, _ in reported] == list(range(1, 13))
    assert reported[-1][1:] == (12, pytest.approx(6.0))


@pytest.mark.real_speech
def test_real_speech_comes_in_with_the_published_split(workspace: Workspace, tmp_path: Path, fsdd: Path) -> None:
    from pipelines.datasets.delivery import SourceClip
    from pipelines.datasets.importers.fsdd import fsdd_clips

    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for clip in fsdd_clips(fsdd):
        if isinstance(clip, SourceClip) and clip.path.endswith(("_theo_2.wav", "_theo_7.wav", "_jackson_13.wav")):
            content = clip.audio if isinstance(clip.audio, bytes) else clip.audio.read_bytes()
            (folder / Path(clip.path).name).write_bytes(content)
    made = add_delivery(with_policy(workspace, ASR, closed_set=True), ASR, tmp_path / "fsdd")
    assert made.splits == {"test": 10, "train": 10, "validation": 10}
    assert (made.closed_set, made.conditions, made.quarantined) == (True, {"clean": 30}, 0)


def test_a_stereo_call_is_taken_in_by_the_channel_that_was_chosen(workspace: Workspace, tmp_path: Path) -> None:
    call = wav(np.stack([voice(0.5, 310, 7), voice(0.5, 710, 8)], axis=1))
    source = write_delivery(tmp_path / "in", anna_0={"bytes": call})
    refused = add_delivery(workspace, ASR, source)
    assert refused.quarantine == {"channels_differ": 1}
    left = add_delivery(workspace, ASR, source, options={"channel": "left"})
    assert (left.version, left.clips) == (2, 12)
    assert left.deliveries[-1].options["channel"] == "left"
    assert "channel" not in left.deliveries[0].options


def test_faulty_parts_of_a_file_keep_their_own_sound_only(workspace: Workspace, tmp_path: Path) -> None:
    import json

    import pyarrow.parquet as pq

    source = write_delivery(tmp_path / "in", each=12)
    quiet = np.concatenate([voice(1.0, 310, 7), np.zeros(16_000, np.float32), voice(1.0, 330, 9)])
    (tmp_path / "in" / "audio" / "call.wav").write_bytes(wav(quiet))
    row = {"audio_filepath": "audio/call.wav", "text": "open the door", "speaker": "anna", "split": "train"}
    places = [(0.0, 0.9), (1.1, 0.4), (1.55, 0.4), (2.0, 0.9), (2.5, 3.0)]
    lines = [json.dumps(row | {"offset": start, "duration": seconds}) for start, seconds in places]
    source.write_text(source.read_text("utf-8") + "\n".join(lines) + "\n", "utf-8")
    made = add_delivery(workspace, ASR, source)
    assert made.quarantine == {"silent": 2, "out_of_file": 1}
    rows = [row for path in slot_shards(workspace, ASR, "quarantine") for row in pq.read_table(path).to_pylist()]
    kept = {row["detail"].rpartition("(")[2]: row["bytes"] for row in rows}
    assert kept.pop("2.50 s to 5.50 s)") is None
    assert kept.keys() == {"1.10 s to 1.50 s)", "1.55 s to 1.95 s)"}
    assert [len(load(sound)) for sound in kept.values()] == [6_400, 6_400]
    # more of the file, later, is not taken for what quarantine holds already
    source.write_text(source.read_text("utf-8") + json.dumps(row | {"offset": 2.6, "duration": 3.0}) + "\n", "utf-8")
    assert add_delivery(workspace, ASR, source).quarantine == {"silent": 2, "out_of_file": 2}

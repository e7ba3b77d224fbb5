from __future__ import annotations

import functools
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from elp_core.audio import Waveform, load
from elp_core.channels import Channel
from elp_core.inference import AlignedSegment, CutConfig, align_recording
from elp_core.languages import LanguageConfig
from elp_core.types import Seconds
from pipelines.datasets import aligned_delivery
from pipelines.datasets.aligned_delivery import SEGMENT_SECONDS
from pipelines.datasets.dataset_version import QUARANTINE, SHARDS
from pipelines.datasets.delivery import SourceClip
from pipelines.datasets.delivery_plan import plan_delivery
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.slot_shards import quarantined_clips, slot_shards
from pipelines.datasets.subject import Subject
from pipelines.datasets.versions import find_latest
from pipelines.datasets.worker_processes import WorkerProcess
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from tests.support.coded_speech import coded_recogniser, quiet, spoken
from tests.support.deliveries import write_manifest

pytestmark = pytest.mark.integration
SLOT = Slot("plant-a", "asr")
SENTENCES = tuple(
    f"{verb} the {noun} {where} before the end of the night shift"
    for verb in ("open", "close", "check")
    for noun in ("valve", "pump", "belt", "door")
    for where in ("in hall two", "near the gate")
)


@dataclass
class CodedAligner:
    """Aligns coded speech."""

    adapter: str = "plant-b/asr"
    version: int = 3
    bundle: str = "sha256:" + "b" * 64
    language: LanguageConfig = field(default_factory=LanguageConfig)
    min_score: float = -1.5
    calls: int = 0

    def align(
        self, audio: Path | bytes, transcript: str, channel: Channel, start: Seconds, seconds: Seconds | None
    ) -> list[AlignedSegment]:
        self.calls += 1
        return align_recording(
            audio,
            transcript,
            coded_recogniser(),
            cut=CutConfig(min_score=self.min_score, max_seconds=SEGMENT_SECONDS),
            channel=channel,
            start=start,
            seconds=seconds,
        )


def recording(*sentences: str) -> Waveform:
    """Coded speech, with a hum that the checks of the sound take for noise of a room."""
    sound = np.concatenate([quiet(0.5), *(part for one in sentences for part in (spoken(one), quiet(1.2)))])
    hum = np.random.default_rng(len(sentences)).standard_normal(len(sound)) * 1e-4
    return (sound + hum).astype(np.float32)


def write_meeting(folder: Path, said: tuple[str, ...] = SENTENCES, written: tuple[str, ...] = SENTENCES) -> Path:
    """A folder with one recording and its transcript in a text file."""
    folder.mkdir()
    soundfile.write(folder / "meeting.wav", recording(*said), 16_000, subtype="PCM_16")
    (folder / "meeting.txt").write_text(". ".join(written) + ".\n", encoding="utf-8")
    return folder


def rows(workspace: Workspace, kind: str = SHARDS) -> list[dict[str, object]]:
    return [row for shard in slot_shards(workspace, SLOT, kind) for row in pq.read_table(shard).to_pylist()]


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A recording with a sentence that is not written, and a transcript with one that is not said."""
    said = ("good morning everybody in this room", *SENTENCES)
    return write_meeting(tmp_path / "in", said, (*SENTENCES[:9], "nobody ever says this", *SENTENCES[9:]))


def test_a_recording_becomes_clips_and_what_does_not_agree_goes_to_quarantine_with_its_score(
    workspace: Workspace, faulty: Path
) -> None:
    aligner = CodedAligner()
    made = add_delivery(workspace, SLOT, faulty, aligner=aligner)
    clips = sorted(rows(workspace), key=lambda row: SENTENCES.index(str(row["text"])))
    assert [row["text"] for row in clips] == list(SENTENCES)
    assert {row["speaker"] for row in clips} == {"meeting"}
    whole = load(faulty / "meeting.wav")
    for row in clips:
        sound = load(row["audio"]["bytes"])
        assert sound.tobytes() in whole.tobytes()
        assert len(sound) == pytest.approx(len(spoken(str(row["text"]))) + 8000, abs=2500)
    held = {one.reason: one for one in quarantined_clips(workspace, SLOT)}
    assert held.keys() == {"not_in_transcript", "not_spoken"}
    not_spoken = (
        r"nobody says 'nobody ever says this' here: score -\d\.\d\d, expected -1\.5 or more \(data\.min_alignment\)"
    )
    assert re.match(not_spoken, held["not_spoken"].detail)
    assert "the transcript has no words for it: score -" in held["not_in_transcript"].detail
    assert "s to" in held["not_in_transcript"].detail
    kept = {row["reason"]: row for row in rows(workspace, QUARANTINE)}
    assert len(load(kept["not_in_transcript"]["bytes"])) > 30_000
    assert kept["not_spoken"]["bytes"] is None
    entry = made.deliveries[-1]
    assert entry.alignment is not None
    assert str(entry.alignment) == "plant-b/asr version 3"
    assert (entry.alignment.bundle, len(entry.alignment.recordings)) == (aligner.bundle, 1)
    assert (entry.delivered, entry.clips, entry.quarantined) == (26, 24, 2)


def test_the_same_delivery_again_is_not_aligned_again(workspace: Workspace, faulty: Path) -> None:
    aligner = CodedAligner()
    first = add_delivery(workspace, SLOT, faulty, aligner=aligner)
    plan = plan_delivery(workspace, SLOT, faulty, aligner=aligner)
    assert add_delivery(workspace, SLOT, faulty, aligner=aligner) == first
    assert (plan.version, aligner.calls) == ("", 1)


def test_a_dry_run_plans_what_intake_does(workspace: Workspace, faulty: Path) -> None:
    plan = plan_delivery(workspace, SLOT, faulty, aligner=CodedAligner())
    made = add_delivery(workspace, SLOT, faulty, aligner=CodedAligner())
    entry = made.deliveries[-1]
    assert (plan.delivered, plan.clips, plan.quarantine) == (entry.delivered, entry.clips, made.quarantine)
    assert plan.alignment == entry.alignment
    assert plan.seconds == made.seconds


def test_another_adapter_does_not_cut_the_same_recording_again(
    workspace: Workspace, faulty: Path, tmp_path: Path
) -> None:
    first = add_delivery(workspace, SLOT, faulty, aligner=CodedAligner())
    newer = CodedAligner("plant-a/asr", 4, "sha256:" + "c" * 64)
    with pytest.raises(
        UsageError,
        match=r"meeting\.wav was aligned with plant-b/asr version 3 for v1; cut again by plant-a/asr version 4, the "
        r"same sound would be in the data twice: use --align plant-b/asr@v3",
    ):
        add_delivery(workspace, SLOT, faulty, aligner=newer)
    other = write_meeting(tmp_path / "other", SENTENCES[5:16], SENTENCES[5:16])
    second = add_delivery(workspace, SLOT, other, aligner=newer)
    assert [one.alignment.version for one in second.deliveries if one.alignment] == [3, 4]
    assert second.version == first.version + 1


def test_another_transcript_does_not_cut_the_same_recording_again(workspace: Workspace, tmp_path: Path) -> None:
    source = write_meeting(tmp_path / "in", SENTENCES[:8], SENTENCES[:8])
    soundfile.write(source / "talk.wav", recording(*SENTENCES[8:17]), 16_000, subtype="PCM_16")
    (source / "talk.txt").write_text(". ".join(SENTENCES[8:17]), encoding="utf-8")
    first = add_delivery(workspace, SLOT, source, aligner=CodedAligner())
    (source / "meeting.txt").write_text(". ".join(SENTENCES[:7]), encoding="utf-8")
    for aligned in (plan_delivery, add_delivery):
        with pytest.raises(
            UsageError, match=r"meeting\.wav was cut into clips by another transcript for v1; cut again"
        ):
            aligned(workspace, SLOT, source, aligner=CodedAligner())
    with pytest.raises(UsageError, match=r"meeting\.wav was aligned with .*; as a whole, the same sound would be in"):
        add_delivery(workspace, SLOT, source)
    assert find_latest(workspace, SLOT) == first
    # what was dropped does not come back in other parts
    drop_clips(workspace, SLOT, Subject(speaker="meeting"))
    with pytest.raises(UsageError, match="by another transcript"):
        add_delivery(workspace, SLOT, source, aligner=CodedAligner())


def test_a_recording_of_which_nothing_was_taken_in_can_have_another_transcript(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = write_meeting(tmp_path / "in", SENTENCES[:8], SENTENCES[:8])
    soundfile.write(source / "talk.wav", recording(*SENTENCES[8:12]), 16_000, subtype="PCM_16")
    (source / "talk.txt").write_text("nobody ever says this at all. and this is not said either.", encoding="utf-8")
    first = add_delivery(workspace, SLOT, source, aligner=CodedAligner())
    assert first.clips == 8
    (source / "talk.txt").write_text(". ".join(SENTENCES[8:12]), encoding="utf-8")
    assert add_delivery(workspace, SLOT, source, aligner=CodedAligner()).clips == 12


def test_the_record_in_git_has_no_names_of_recordings_and_each_part_of_a_file_counts_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = write_meeting(tmp_path / "in", SENTENCES, SENTENCES)
    (source / "meeting.txt").unlink()
    (source / "meeting.wav").rename(source / "anna mueller.wav")
    half = (len(recording(*SENTENCES[:16])) - 9600) / 16_000
    first = {"audio_filepath": "anna mueller.wav", "duration": half, "text": " ".join(SENTENCES[:16])}
    wrong = {"audio_filepath": "anna mueller.wav", "offset": half, "text": "nobody ever says this at all"}
    made = add_delivery(workspace, SLOT, write_manifest(source, [first, wrong]), aligner=CodedAligner())
    assert made.clips == 16
    assert made.deliveries[-1].alignment is not None
    assert len(made.deliveries[-1].alignment.sounds) == 1
    assert "mueller" not in (workspace.root / SLOT.folder / "dataset.json").read_text(encoding="utf-8")
    right = {**wrong, "text": " ".join(SENTENCES[16:])}
    again = add_delivery(workspace, SLOT, write_manifest(source, [first, right]), aligner=CodedAligner())
    assert again.clips == len(SENTENCES)


def test_a_lower_limit_takes_in_what_quarantine_held(workspace: Workspace, tmp_path: Path) -> None:
    mumbled = SENTENCES[3].replace("belt", "bqzx").replace("door", "dqzx").replace("shift", "sqqzt")
    source = write_meeting(tmp_path / "in", (*SENTENCES[:3], mumbled, *SENTENCES[4:]))
    strict, lax = CodedAligner(min_score=-0.3), CodedAligner(min_score=-9.0)
    made = add_delivery(workspace, SLOT, source, aligner=strict)
    assert made.quarantine == {"badly_aligned": 1}
    (held,) = rows(workspace, QUARANTINE)
    assert held["text"] == SENTENCES[3]
    # the limit is one of the slot's settings, and so part of the key
    (workspace.root / "elp.yaml").write_text(
        "remote: .elp/remote\nslots: {plant-a/asr: {data: {min_alignment: -9.0}}}\n"
    )
    subprocess.run(["git", "-C", str(workspace.root), "commit", "-qam", "Lower the limit"], check=True)
    again = add_delivery(open_workspace(workspace.root), SLOT, source, aligner=lax)
    assert (again.clips, again.deliveries[-1].repeats) == (24, 23)


def test_short_recordings_stay_as_they_are_and_long_ones_of_a_manifest_keep_their_words(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = write_meeting(tmp_path / "in")
    soundfile.write(source / "short.wav", recording(SENTENCES[0])[4000:], 16_000, subtype="PCM_16")
    long = len(recording(*SENTENCES)) / 16_000
    lines = [
        {"audio_filepath": "short.wav", "text": "another text", "speaker": "anna"},
        {"audio_filepath": "meeting.wav", "text": " ".join(SENTENCES[12:]), "offset": long / 2, "speaker": "bert"},
    ]
    made = add_delivery(workspace, SLOT, write_manifest(source, lines), aligner=CodedAligner())
    texts = {str(row["text"]): row for row in rows(workspace)}
    assert set(SENTENCES[13:]) | {"another text"} <= texts.keys()
    assert texts["another text"]["speaker"] == "anna"
    assert {row["speaker"] for row in texts.values()} == {"anna", "bert"}
    assert made.deliveries[-1].alignment is not None


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("", "empty_transcript", "the transcript has no words; write what is said in the recording"),
        ("!?", "empty_transcript", "the transcript has no words; write what is said in the recording"),
        (
            "word " * 2000,
            "transcript_too_long",
            "the transcript has 8,000 units, which need 160 s or more, and the rec",
        ),
    ],
)
def test_a_transcript_that_cannot_be_aligned_is_refused_in_a_sentence(
    text: str, reason: str, words: str, workspace: Workspace, tmp_path: Path
) -> None:
    source = write_meeting(tmp_path / "in")
    (source / "meeting.txt").write_text(text)
    with pytest.raises(DataRefused, match=rf"1 of 1 clips are unusable \(1 {reason}\).*meeting.wav: {words}"):
        add_delivery(workspace, SLOT, source, aligner=CodedAligner())
    assert slot_shards(workspace, SLOT, SHARDS) == []


def test_sound_that_cannot_be_aligned_has_its_usual_fault(workspace: Workspace, tmp_path: Path) -> None:
    source = write_meeting(tmp_path / "in")
    two = np.stack([recording(*SENTENCES[:12]), recording(*SENTENCES[12:])[: len(recording(*SENTENCES[:12]))]], axis=1)
    soundfile.write(source / "meeting.wav", two, 16_000, subtype="PCM_16")
    with pytest.raises(DataRefused, match=r"1 channels_differ.*meeting.wav has 2 channels that differ"):
        add_delivery(workspace, SLOT, source, aligner=CodedAligner())
    (source / "meeting.wav").write_bytes((source / "meeting.wav").read_bytes()[:30])
    with pytest.raises(DataRefused, match="1 of 1 clips are unusable"):
        add_delivery(workspace, SLOT, source, aligner=CodedAligner())
    with pytest.raises(UsageError, match="--channel each makes several clips of it; choose --channel left, right"):
        add_delivery(workspace, SLOT, source, options={"channel": "each"}, aligner=CodedAligner())


def _hang(clip: SourceClip) -> bool:
    while True:
        time.sleep(60)


def test_a_file_of_which_several_parts_are_delivered_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(file := tmp_path / "day.flac", quiet(1), 16_000)
    monkeypatch.setattr(aligned_delivery, "_decode", _hang)
    monkeypatch.setattr(aligned_delivery, "WorkerProcess", functools.partial(WorkerProcess, seconds=1))
    parts = [SourceClip("day.flac", file, start=30.0 * n, seconds=30.0, sha256="7" * 64) for n in range(60)]
    began = time.monotonic()
    found = list(aligned_delivery._bounded(parts))
    assert {part.fault.reason for part in found if part.fault} == {"unreadable"}
    assert len(found) == 60
    assert time.monotonic() - began < 30


def test_a_recording_whose_decoder_hangs_is_quarantined_and_the_others_are_aligned(
    workspace: Workspace, faulty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(faulty / "other.flac", recording(*SENTENCES[:8]), 16_000)
    (faulty / "other.txt").write_text(". ".join(SENTENCES[:8]), encoding="utf-8")
    monkeypatch.setattr(aligned_delivery, "_decode", _hang)
    monkeypatch.setattr(aligned_delivery, "WorkerProcess", functools.partial(WorkerProcess, seconds=1))
    made = add_delivery(workspace, SLOT, faulty, aligner=(aligner := CodedAligner()))
    (lost,) = [one for one in quarantined_clips(workspace, SLOT) if one.reason == "unreadable"]
    assert "other.flac ended the process that read it" in lost.detail
    assert (made.deliveries[-1].clips, aligner.calls) == (24, 1)


def test_one_side_of_a_call_is_aligned(workspace: Workspace, tmp_path: Path) -> None:
    source = write_meeting(tmp_path / "in")
    left = recording(*SENTENCES)
    other = np.random.default_rng(5).standard_normal(len(left)).astype(np.float32) * 0.05
    soundfile.write(source / "meeting.wav", np.stack([left, other], axis=1), 16_000, subtype="PCM_16")
    made = add_delivery(workspace, SLOT, source, options={"channel": "left"}, aligner=CodedAligner())
    assert made.clips == len(SENTENCES)


def test_a_drop_finds_the_clips_and_what_is_in_quarantine(workspace: Workspace, faulty: Path) -> None:
    aligner = CodedAligner()
    other = write_meeting(faulty.parent / "other", SENTENCES[:9], SENTENCES[:9])
    for path in other.iterdir():
        path.rename(other / f"talk{path.suffix}")
    add_delivery(workspace, SLOT, other, aligner=aligner)
    add_delivery(workspace, SLOT, faulty, aligner=aligner)
    one = next(str(row["id"]) for row in rows(workspace) if row["speaker"] == "meeting")
    without = drop_clips(workspace, SLOT, Subject(clip=one)).dataset
    assert without.clips == 9 + len(SENTENCES) - 1
    assert add_delivery(workspace, SLOT, faulty, aligner=aligner).clips == without.clips
    done = drop_clips(workspace, SLOT, Subject("meeting"))
    # both rows in quarantine are of one file
    assert (done.dataset.clips, done.quarantined) == (9, 1)
    assert {row["speaker"] for row in rows(workspace)} == {"talk"}
    assert rows(workspace, QUARANTINE) == []


def test_the_alignment_is_part_of_the_key(workspace: Workspace, tmp_path: Path) -> None:
    source = write_meeting(tmp_path / "in", SENTENCES[:8], SENTENCES[:8])
    made = add_delivery(workspace, SLOT, source, aligner=CodedAligner())
    for plain in (plan_delivery, add_delivery):
        with pytest.raises(
            UsageError, match=r"meeting\.wav was aligned with .*; as a whole, the same sound would be in"
        ):
            plain(workspace, SLOT, source)
    text = (workspace.root / SLOT.folder / "dataset.json").read_text()
    assert '"adapter": "plant-b/asr"' in text
    assert made == find_latest(workspace, SLOT)


def test_another_limit_cuts_at_the_same_places(workspace: Workspace, tmp_path: Path) -> None:
    mumbled = SENTENCES[3].replace("belt", "bqzx").replace("door", "dqzx").replace("shift", "sqqzt")
    said = (*SENTENCES[:3], mumbled, *SENTENCES[4:])
    source = write_meeting(tmp_path / "in", said)
    # pauses at which a segment may end, and need not
    sound = np.concatenate([quiet(0.5), *(part for one in said for part in (spoken(one), quiet(0.5)))])
    sound += (np.random.default_rng(0).standard_normal(len(sound)) * 1e-4).astype(np.float32)
    soundfile.write(source / "meeting.wav", sound, 16_000, subtype="PCM_16")
    found = [
        CodedAligner(min_score=limit).align(source / "meeting.wav", ". ".join(SENTENCES), "mix", 0.0, None)
        for limit in (-0.3, -1.5, -9.0)
    ]
    assert len({tuple((one.start, one.end, one.text, one.score) for one in segments) for segments in found}) == 1
    bad = [sum(one.finding == "badly_aligned" for one in segments) for segments in found]
    assert bad[0] > bad[2] == 0


def test_a_recording_that_the_slot_has_as_a_whole_is_not_cut(workspace: Workspace, tmp_path: Path) -> None:
    source, aligner = write_meeting(tmp_path / "in", SENTENCES[:8], SENTENCES[:8]), CodedAligner()
    add_delivery(workspace, SLOT, source)
    soundfile.write(source / "talk.wav", recording(*SENTENCES[8:17]), 16_000, subtype="PCM_16")
    (source / "talk.txt").write_text(". ".join(SENTENCES[8:17]), encoding="utf-8")
    plan = plan_delivery(workspace, SLOT, source, aligner=aligner)
    made = add_delivery(workspace, SLOT, source, aligner=aligner)
    assert (plan.clips, plan.repeats) == (made.deliveries[-1].clips, made.deliveries[-1].repeats) == (9, 1)
    assert len({row["text"] for row in rows(workspace)}) == made.clips == 10
    (whole,) = (str(row["id"]) for row in rows(workspace) if row["speaker"] == "")
    dropped = drop_clips(workspace, SLOT, Subject(clip=whole)).dataset
    for name in ("talk.wav", "talk.txt"):
        (source / name).unlink()
    # what was dropped does not come back in parts
    again = add_delivery(workspace, SLOT, source, aligner=aligner)
    assert (dropped.clips, again.clips) == (9, 9)

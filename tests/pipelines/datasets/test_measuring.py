from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from elp_core.data.corpus import ShardRow
from pipelines.datasets import measuring as module
from pipelines.datasets.delivery import ClipFault, DeliveryContent, DeliveryOptions, SourceClip, read_delivery
from pipelines.datasets.importers.fsdd import FSDD
from pipelines.datasets.measuring import measure_clip, measure_clips
from pipelines.datasets.quarantine import read_quarantine, write_quarantine
from pipelines.errors import IntakeError
from pipelines.registry.policies import DataPolicy
from tests.support.clips import voice, wav
from tests.support.deliveries import INTAKE, not_a_number, ten_hours

GOOD = SourceClip("a.wav", wav(voice(0.5, 300, 1)), text="Don't STOP!", speaker="anna")


def reason(clip: SourceClip) -> str:
    outcome = measure_clip(clip, INTAKE)
    return outcome.reason if isinstance(outcome, ClipFault) else "good"


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        (b"RIFF and nothing that follows", "corrupt"),
        (wav(voice(0.5, 300, 1))[:40], "corrupt"),
        (b"", "empty"),
        (wav(np.zeros(0, np.float32)), "empty"),
        (wav(np.full(1, 0.5, np.float32)), "too_short"),
        (not_a_number(), "nan"),
        (ten_hours(), "too_long"),
        (Path("/nonexistent.wav"), "missing"),
    ],
    ids=["garbage", "header-cut", "no-bytes", "no-samples", "one-sample", "nan", "ten-hours", "missing"],
)
def test_an_unusable_file_becomes_a_fault_with_its_reason(audio: bytes | Path, expected: str) -> None:
    assert reason(replace(GOOD, audio=audio)) == expected


def test_a_good_clip_becomes_a_measured_row() -> None:
    row = measure_clip(GOOD, INTAKE)
    assert isinstance(row, ShardRow)
    assert (row.text, row.speaker, row.source_rate, row.delivery) == ("don't stop", "anna", 16_000, "delivery")
    assert row.duration == pytest.approx(0.5)


def test_a_clip_is_cut_out_of_its_file() -> None:
    row = measure_clip(replace(GOOD, start=0.1, seconds=0.2), INTAKE)
    assert isinstance(row, ShardRow)
    assert row.duration == pytest.approx(0.2)
    assert reason(replace(GOOD, start=0.1, seconds=2.0)) == "out_of_file"
    assert reason(replace(GOOD, start=0.1, seconds=0.01)) == "too_short"


def test_noise_is_the_same_at_every_run_and_names_the_condition() -> None:
    settings = replace(INTAKE, options=DeliveryOptions("factory", 5.0))
    one, two = measure_clip(GOOD, settings), measure_clip(replace(GOOD, path="b.wav"), settings)
    clean = measure_clip(GOOD, INTAKE)
    assert isinstance(one, ShardRow)
    assert isinstance(two, ShardRow)
    assert isinstance(clean, ShardRow)
    assert one.id == two.id != clean.id
    assert one.condition == "factory-5db"
    assert one.snr_db < clean.snr_db


@pytest.mark.integration
def test_worker_processes_give_what_one_process_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [replace(GOOD, path=f"{n}.wav", audio=wav(voice(0.3, 300, n), 8000)) for n in range(6)]
    clips.append(replace(GOOD, audio=b"broken"))
    alone = list(measure_clips(clips, INTAKE, workers=1))
    monkeypatch.setattr(module, "_POOL_FROM", 2)
    monkeypatch.setattr(module, "_CHUNK", 2)
    assert list(measure_clips(clips, INTAKE, workers=2)) == alone


def content_of(
    *clips: SourceClip,
    options: DeliveryOptions = INTAKE.options,
    policy: DataPolicy = INTAKE.policy,
    spool: Path = Path("unused"),
) -> DeliveryContent:
    return read_delivery(Path("in"), replace(FSDD, read=lambda _: iter(clips)), options, policy, spool)


def test_the_key_changes_with_what_would_change_the_version(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(voice(0.5, 300, 1)))
    key = content_of(GOOD).key
    assert content_of(replace(GOOD, audio=path)).key == key
    others = [content_of(replace(GOOD, text="go")), content_of(replace(GOOD, audio=b"x"))]
    others += [content_of(GOOD, options=DeliveryOptions("factory"))]
    others += [content_of(GOOD, policy=DataPolicy(min_seconds=0.2))]
    assert len({key, *(other.key for other in others)}) == 5


def test_a_delivery_has_the_key_that_every_version_of_the_program_gave_it() -> None:
    clips = (
        SourceClip("a.wav", b"one", text="Don't STOP!", speaker="anna", split="train"),
        SourceClip("b/ö.wav", b"two", text="grün", label="x", condition="headset", start=0.5, seconds=1.25),
    )
    content = content_of(*clips, options=DeliveryOptions("factory", 5.0, "hall"), policy=DataPolicy())
    assert content.key == "9107873c292c0a8b5c336543cce772982a9d21a5ade05d05289bfde3e3942d71"


def test_a_delivery_is_read_once_and_its_bytes_are_held_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.datasets.audio_reader.HELD_BYTES", 8)
    path, large, spool = tmp_path / "a.wav", tmp_path / "large.wav", tmp_path / "members"
    path.write_bytes(b"long")
    large.write_bytes(b"too large")
    cuts = [replace(GOOD, audio=path, start=start) for start in (0.0, 1.0)]
    content = content_of(
        *cuts, replace(GOOD, audio=large), replace(GOOD, audio=b"abcd"), replace(GOOD, audio=b"full"), spool=spool
    )
    held = [clip.audio for clip in content.clips]
    assert held == [b"long", b"long", large, b"abcd", spool / content.clips[4].sha256]
    assert (spool / content.clips[4].sha256).read_bytes() == b"full"
    assert content.size == 4 + 9 + 4 + 4
    contents = (b"long", b"long", b"too large", b"abcd", b"full")
    assert [clip.sha256 for clip in content.clips] == [sha256(content).hexdigest() for content in contents]


def test_a_file_that_cannot_be_read_stops_the_delivery(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match=r"gone\.wav cannot be read: No such file"):
        content_of(replace(GOOD, audio=tmp_path / "gone.wav"))


def test_a_fault_names_the_clip_and_no_path_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF and nothing that follows")
    for audio in (tmp_path / "a.wav", b"RIFF and nothing that follows"):
        fault = measure_clip(replace(GOOD, path="in/a.wav", audio=audio), INTAKE)
        assert isinstance(fault, ClipFault)
        assert fault.detail.startswith("in/a.wav cannot be read as audio: ")
        assert str(tmp_path) not in fault.detail


def test_quarantine_keeps_the_bytes_and_of_a_huge_file_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr("pipelines.datasets.quarantine.KEEP_BYTES", 10)
    (tmp_path / "a.wav").write_bytes(b"much too long")
    faulty = [
        (replace(GOOD, audio=b"short", sha256="d0"), ClipFault("corrupt", "why")),
        (replace(GOOD, audio=tmp_path / "a.wav", sha256="d2"), ClipFault("too_long", "why")),
    ]
    paths = write_quarantine(faulty, "delivery", tmp_path / "quarantine")
    assert [(one.sha256, one.reason) for one in read_quarantine(paths)] == [("d0", "corrupt"), ("d2", "too_long")]
    stored = pq.read_table(paths[0])
    assert stored["bytes"].to_pylist() == [b"short", None]
    assert stored["size"].to_pylist() == [5, 13]

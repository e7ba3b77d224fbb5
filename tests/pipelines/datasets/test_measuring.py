from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elp_core.data.corpus import ShardRow
from pipelines.datasets import measuring as module
from pipelines.datasets.delivery_options import DeliveryOptions
from pipelines.datasets.measuring import process, take
from pipelines.datasets.quarantine import read_quarantine, write_quarantine
from pipelines.datasets.source_clip import Fault, SourceClip
from pipelines.datasets.survey import survey
from pipelines.errors import IntakeError
from pipelines.registry.policies import DataPolicy
from tests.support.clips import voice, wav
from tests.support.deliveries import RECIPE, not_a_number, ten_hours

GOOD = SourceClip("a.wav", wav(voice(0.5, 300, 1)), text="Don't STOP!", speaker="anna")


def reason(clip: SourceClip) -> str:
    outcome = take(0, clip, RECIPE).outcome
    return outcome.reason if isinstance(outcome, Fault) else "good"


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
    row = take(0, GOOD, RECIPE).outcome
    assert isinstance(row, ShardRow)
    assert (row.text, row.speaker, row.source_rate, row.delivery) == ("don't stop", "anna", 16_000, "delivery")
    assert row.duration == pytest.approx(0.5)


def test_a_clip_is_cut_out_of_its_file() -> None:
    row = take(0, replace(GOOD, start=0.1, seconds=0.2), RECIPE).outcome
    assert isinstance(row, ShardRow)
    assert row.duration == pytest.approx(0.2)
    assert reason(replace(GOOD, start=0.1, seconds=2.0)) == "out_of_file"
    assert reason(replace(GOOD, start=0.1, seconds=0.01)) == "too_short"


def test_noise_is_the_same_at_every_run_and_names_the_condition() -> None:
    recipe = replace(RECIPE, options=DeliveryOptions("factory", 5.0))
    one, two = take(0, GOOD, recipe).outcome, take(7, replace(GOOD, path="b.wav"), recipe).outcome
    clean = take(0, GOOD, RECIPE).outcome
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
    alone = list(process(iter(clips), len(clips), RECIPE, workers=1))
    monkeypatch.setattr(module, "_POOL_FROM", 2)
    monkeypatch.setattr(module, "_CHUNK", 2)
    assert list(process(iter(clips), len(clips), RECIPE, workers=2)) == alone


def test_the_key_changes_with_what_would_change_the_version(tmp_path: Path) -> None:
    def key(clip: SourceClip = GOOD, **other: Any) -> str:
        return survey([clip], other.get("options", RECIPE.options), other.get("policy", RECIPE.policy)).key

    path = tmp_path / "a.wav"
    path.write_bytes(wav(voice(0.5, 300, 1)))
    assert key(replace(GOOD, audio=path)) == key()
    others = [key(replace(GOOD, text="go")), key(replace(GOOD, audio=b"x")), key(options=DeliveryOptions("factory"))]
    assert len({key(), *others, key(policy=DataPolicy(min_seconds=0.2))}) == 5


def test_a_file_that_cannot_be_read_stops_the_delivery(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match=r"gone\.wav cannot be read: No such file"):
        survey([replace(GOOD, audio=tmp_path / "gone.wav")], RECIPE.options, RECIPE.policy)


def test_quarantine_keeps_the_bytes_and_of_a_huge_file_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr("pipelines.datasets.quarantine.KEEP_BYTES", 10)
    clips = [replace(GOOD, audio=b"short"), GOOD, replace(GOOD, audio=b"much too long")]
    faults = {0: Fault("corrupt", "why"), 2: Fault("too_long", "why")}
    paths = write_quarantine(iter(clips), faults, ["d0", "d1", "d2"], "delivery", tmp_path)
    assert [(one.sha256, one.reason) for one in read_quarantine(paths)] == [("d0", "corrupt"), ("d2", "too_long")]
    stored = pq.read_table(paths[0])
    assert stored["bytes"].to_pylist() == [b"short", None]
    assert stored["size"].to_pylist() == [5, 13]

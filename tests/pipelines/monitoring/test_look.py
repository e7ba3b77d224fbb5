from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UsageError, WorkspaceError
from pipelines.monitoring.block_scores import ScoredClip
from pipelines.monitoring.look import AudioLook, take_look
from pipelines.monitoring.look_report import draw_look, look_sentence, move_text, write_report
from pipelines.monitoring.reference_record import (
    ReferenceRecord,
    ReferenceSource,
    load_reference,
    make_reference,
    save_reference,
)
from pipelines.monitoring.slot_state import STATE_FILE, SlotState, load_state, restarted, save_state, state_for
from tests.support.both_languages import compare_languages
from tests.support.scored_clips import SOURCE, scored_clips


@pytest.fixture(scope="module")
def record() -> ReferenceRecord:
    return make_reference(SOURCE, scored_clips(20, "golden"), scored_clips(20, "usual"))


def _look(
    record: ReferenceRecord, state: SlotState, clips: list[ScoredClip], day: str = "2026-01-01"
) -> tuple[AudioLook, SlotState]:
    return take_look(record, state, clips, day=day, at=f"{day}T00:00:00+00:00", rate=0.05)


def test_sessions_like_the_golden_set_raise_no_alarm(record: ReferenceRecord) -> None:
    look, state = _look(record, state_for(record, None), scored_clips(20, "sent", seed=5))
    assert (look.blocks, look.known, look.alarm_since, look.moved, state.looks) == (20, 0, "", (), 1)
    assert look_sentence(look) == "no change found"
    assert {move.name for move in look.moves} == {"distance", "snr_db", "level_db"}


def test_the_measurement_that_moved_is_named_with_its_size(record: ReferenceRecord) -> None:
    look, state = _look(record, state_for(record, None), scored_clips(20, "sent", snr=10.0))
    assert look.moved == ("snr_db",)
    assert look.moves[0].name == "snr_db"
    assert look.moves[0].now == pytest.approx(10.0, abs=1.0)
    assert look.moves[0].deviations < -5
    assert look_sentence(look) == "alarm: signal-to-noise ratio changed"
    assert " dB to " in move_text(look.moves[0])
    assert look.e_value > 1
    # the alarm stays open, although nothing new was sent
    later, _ = _look(record, state, [], day="2026-01-05")
    assert (later.alarm_since, later.last_counted) == ("2026-01-01T00:00:00+00:00", "2026-01-01")


def test_a_session_counts_once_even_if_it_grew_or_came_in_another_folder(record: ReferenceRecord) -> None:
    clips = scored_clips(6, "sent")
    _, state = _look(record, state_for(record, None), clips)
    # the new clips have the lowest identifiers, so they are the ones that a new count would take
    grown = [*clips, *(replace(clip, id=f"0{clip.id}") for clip in clips)]
    look, after = _look(record, state, [replace(clip, block=f"other/{clip.block}") for clip in grown])
    assert (look.blocks, look.known) == (0, 6)
    assert {name: one.counts.tolist() for name, one in after.detectors.items()} == {
        name: one.counts.tolist() for name, one in state.detectors.items()
    }


def test_a_log_of_the_same_speakers_is_counted_day_by_day_and_never_blind() -> None:
    record, rng = (
        make_reference(SOURCE, scored_clips(40, "golden"), scored_clips(20, "usual")),
        np.random.default_rng(1),
    )
    state, log, alarmed = state_for(record, None), list[ScoredClip](), list[int]()
    for number in range(1, 29):
        day = f"2026-01-{number:02}"
        for clip in scored_clips(8, "s", snr=20.0 if number <= 20 else 10.0, seed=number):
            # a digest says nothing of the time
            log.append(replace(clip, id=rng.bytes(8).hex(), day=day))
        look, state = _look(record, state, log, day)
        assert (look.blocks, look.known) == (8, 8 * (number - 1))
        alarmed += [number] * bool(look.moved)
        assert _look(record, state, log, day)[0].blocks == 0
    assert alarmed[0] == 21


def test_capital_begins_once_a_day_and_only_with_new_sessions(record: ReferenceRecord) -> None:
    _, state = _look(record, state_for(record, None), scored_clips(2, "a"))
    first = state.detectors["snr_db"].granted
    _, state = _look(record, state, scored_clips(2, "bb"))
    assert state.detectors["snr_db"].granted == first
    _, state = _look(record, state, [], day="2026-01-02")
    assert (state.detectors["snr_db"].granted, state.day) == (first, "2026-01-01")
    _, state = _look(record, state, scored_clips(2, "ccc"), day="2026-01-02")
    assert state.detectors["snr_db"].granted > first
    with pytest.raises(UsageError, match="last look was on 2026-01-02, got 2026-01-01"):
        _look(record, state, [])


def test_a_restart_ends_the_alarm_and_forgets_no_session(record: ReferenceRecord) -> None:
    clips = scored_clips(20, "sent", snr=10.0)
    _, state = _look(record, state_for(record, None), clips)
    again = restarted(state)
    assert again.alarm_since == ""
    assert all(float(one.evidence) == 0.0 for one in again.detectors.values())
    look, _ = _look(record, again, clips)
    assert (look.blocks, look.known, look.alarm_since) == (0, 20, "")


def test_a_new_reference_starts_without_the_capital_of_a_first_day(record: ReferenceRecord) -> None:
    _, state = _look(record, state_for(record, None), scored_clips(20, "sent", snr=10.0))
    other = make_reference(
        ReferenceSource(**{**vars(SOURCE), "version": 4}), scored_clips(20, "golden"), scored_clips(20, "usual")
    )
    new = state_for(other, state)
    assert (new.reference, new.looks, new.counted, new.alarm_since) == (other.source.key, 1, (), "")
    assert new.detectors["snr_db"].granted == 0.0


def test_state_and_reference_survive_the_disk(record: ReferenceRecord, tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    _, state = _look(record, state_for(record, None), scored_clips(4, "sent"))
    save_state(tmp_path, state)
    assert load_state(tmp_path).to_json() == state.to_json()
    save_state(tmp_path, restarted(state))
    assert float(load_state(tmp_path).detectors["snr_db"].evidence) == 0.0
    save_reference(tmp_path, record)
    found = load_reference(tmp_path, SOURCE)
    assert found.blocks == record.blocks
    assert _look(found, state, scored_clips(4, "other"))[0] == _look(record, state, scored_clips(4, "other"))[0]


def test_a_year_of_state_is_small(record: ReferenceRecord, tmp_path: Path) -> None:
    _, state = _look(record, state_for(record, None), scored_clips(1100, "sent"))
    save_state(tmp_path, state)
    assert (tmp_path / STATE_FILE).stat().st_size < 100_000


def test_damaged_files_are_named(record: ReferenceRecord, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text('{"reference": 1}')
    with pytest.raises(WorkspaceError, match=r"state.json is no state of the monitor \('detectors' is missing\)"):
        load_state(tmp_path)
    place = save_reference(tmp_path, record)
    (place / "distance.npz").write_bytes(b"PK")
    with pytest.raises(WorkspaceError, match=f"{SOURCE.key} is no reference of the monitor"):
        load_reference(tmp_path, SOURCE)
    assert load_reference(tmp_path, ReferenceSource(**{**vars(SOURCE), "block_clips": 3})) is None


def test_a_golden_set_with_few_speakers_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"gives 4 blocks of 2 clips .0 speakers have fewer clips., expected 5 or more"
    ):
        make_reference(SOURCE, scored_clips(4, "golden"), scored_clips(20, "usual"))
    with pytest.raises(UsageError, match="needs 10 clips or more, got 8"):
        make_reference(SOURCE, scored_clips(9, "golden"), scored_clips(4, "usual"))


def test_a_reference_with_errors_estimates_that_of_the_site(record: ReferenceRecord, tmp_path: Path) -> None:
    look, _ = _look(record, state_for(record, None), scored_clips(20, "sent"))
    assert look.estimate.reason == "the task has no confidence"
    golden = scored_clips(20, "golden")
    errors = {clip.id: 0.25 for clip in golden}
    sure = [replace(clip, measurements={**clip.measurements, "confidence": 0.8}) for clip in golden]
    made = make_reference(SOURCE, sure, scored_clips(20, "usual"), errors)
    save_reference(tmp_path, made)
    found = load_reference(tmp_path, SOURCE)
    assert found.errors == (0.25,) * 20
    sent = [replace(clip, measurements={**clip.measurements, "confidence": 0.8}) for clip in scored_clips(20, "sent")]
    look, state = _look(found, state_for(found, None), sent)
    assert (look.estimate.value, look.estimate.low, look.estimate.high) == pytest.approx((0.25, 0.25, 0.25))
    assert "25.00 % (25.00 % to 25.00 %)" in write_report(tmp_path, draw_look(look, found, state.recent)).read_text()


def test_the_report_names_the_moved_measurement(record: ReferenceRecord, tmp_path: Path) -> None:
    look, state = _look(record, state_for(record, None), scored_clips(20, "sent", snr=10.0))
    page = write_report(tmp_path, draw_look(look, record, state.recent)).read_text()
    compare_languages(tmp_path, "report.html")
    assert "alarm: signal-to-noise ratio changed" in page
    assert page.count("data:image/png;base64,") == 3
    assert "golden/plant-a/asr/v1, 20 blocks" in page
    assert "with fewer than 30 blocks, many changes are found late" in page

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elp_core.audio import clip_id, load
from elp_core.data.corpus import ShardRow
from pipelines.datasets import clip_reading, measuring
from pipelines.datasets.delivery import ClipFault, DeliveryOptions, SourceClip
from pipelines.datasets.measuring import measure_clip, measure_clips
from tests.elp_core.test_containers import FLAC, MP3, OGG, WAV, flac_total, wav_size
from tests.support.clips import tone, voice, wav
from tests.support.deliveries import INTAKE

SOUND = voice(3.0, 300, 1)
CALL = wav(np.stack([SOUND, voice(3.0, 700, 2)], axis=1), 8000)


def outcome(audio: bytes | Path, options: DeliveryOptions | None = None, **changes: object) -> ShardRow | ClipFault:
    clip = replace(SourceClip("in/a.wav", audio, text="go", speaker="anna"), **changes)
    return measure_clip(clip, replace(INTAKE, options=options or DeliveryOptions()))


def fault(audio: bytes | Path, **changes: object) -> tuple[str, str]:
    found = outcome(audio, **changes)
    assert isinstance(found, ClipFault)
    return found.reason, found.detail


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (WAV[:32_044], "wrong_length"),
        (wav_size(32_000), "wrong_length"),
        (FLAC[: len(FLAC) // 2], "wrong_length"),
        (flac_total(16_000), "wrong_length"),
        (MP3[: len(MP3) // 2], "wrong_length"),
        (MP3 + MP3, "wrong_length"),
        (OGG[: len(OGG) * 2 // 3], "cut_off"),
        (OGG + OGG, "wrong_length"),
    ],
    ids=["wav-cut", "wav-more", "flac-cut", "flac-more", "mp3-cut", "mp3-more", "ogg-cut", "ogg-more"],
)
def test_a_file_that_is_not_what_it_says_is_quarantined(audio: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(audio)
    for source in (audio, tmp_path / "a"):
        found, detail = fault(source)
        assert found == reason
        assert detail.startswith("in/a.wav ")
        assert str(tmp_path) not in detail


def test_the_sentence_names_every_length() -> None:
    assert fault(WAV[:32_044])[1] == (
        "in/a.wav is not what it says: its header says 3.00 s, its bytes hold 1.00 s; copy or export it again"
    )
    assert "the delivery says 4.50 s" in fault(WAV, declared=4.5)[1]


@pytest.mark.parametrize("audio", [WAV, FLAC, MP3, OGG, wav_size(0), wav_size(0xFFFFFFFF), flac_total(0)])
@pytest.mark.parametrize("declared", [None, 3.0, 3.05, 2.95])
def test_whole_and_streamed_files_are_taken_in(audio: bytes, declared: float | None) -> None:
    found = outcome(audio, declared=declared)
    assert isinstance(found, ShardRow)
    assert found.duration == pytest.approx(3.0, abs=0.1)


def test_a_declared_length_may_differ_by_a_tenth_of_a_second_or_two_percent() -> None:
    assert isinstance(outcome(WAV, declared=3.09), ShardRow)
    long = wav(voice(20.0, 300, 3))
    assert isinstance(outcome(long, declared=20.39), ShardRow)
    assert fault(long, declared=20.5)[0] == fault(WAV, declared=3.2)[0] == "wrong_length"


def test_two_voices_are_not_mixed_unasked() -> None:
    reason, detail = fault(CALL)
    assert reason == "channels_differ"
    assert "choose left, right or mix with --channel" in detail
    assert "--channel each" in detail
    left, right = outcome(CALL, channel=0), outcome(CALL, DeliveryOptions(channel="right"))
    mixed = outcome(CALL, DeliveryOptions(channel="mix"))
    assert isinstance(left, ShardRow)
    assert isinstance(right, ShardRow)
    assert isinstance(mixed, ShardRow)
    assert len({left.id, right.id, mixed.id}) == 3
    assert (left.id, right.id, mixed.id) == (clip_id(load(CALL, 0)), clip_id(load(CALL, 1)), clip_id(load(CALL)))
    assert fault(CALL, channel=2)[0] == "no_channel"


def test_the_manifest_decides_before_the_option() -> None:
    found = outcome(CALL, DeliveryOptions(channel="left"), channel=1)
    assert isinstance(found, ShardRow)
    assert found.id == clip_id(load(CALL, 1))


def test_opposite_phase_is_two_channels_and_no_silence() -> None:
    assert fault(wav(np.stack([SOUND, -SOUND], axis=1)))[0] == "channels_differ"


def test_a_segment_is_the_part_of_the_whole_decoded_file() -> None:
    for start, seconds in ((0.0, 0.5), (0.784, 0.569), (5.0, 0.9)):
        found = outcome(CALL, start=start, seconds=seconds, channel=1)
        assert isinstance(found, ShardRow)
        first = round(start * 16_000)
        assert found.id == clip_id(load(CALL, 1)[first : first + round(seconds * 16_000)])


def test_the_segments_of_a_file_decode_it_once_for_each_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []
    load_info = clip_reading.load_info
    monkeypatch.setattr(clip_reading, "load_info", lambda *what: decoded.append(what[1]) or load_info(*what))
    clip = SourceClip("call.wav", CALL, speaker="anna", sha256="d0")
    places = [(0.5 * number, channel) for number in range(6) for channel in (0, 1)]
    clips = [replace(clip, start=start, seconds=0.4, channel=channel) for start, channel in places]
    assert all(isinstance(one, ShardRow) for one in measure_clips(clips, INTAKE))
    assert decoded == [0, 1]


def test_the_fault_of_a_file_is_found_once_for_its_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    file_length = clip_reading.file_length
    monkeypatch.setattr(clip_reading, "file_length", lambda content: looked.append(1) or file_length(content))
    clip = SourceClip("call.wav", WAV[:32_044], speaker="anna", sha256="d1")
    found = list(measure_clips([replace(clip, start=0.1 * n, seconds=0.1) for n in range(5)], INTAKE))
    assert {one.reason for one in found if isinstance(one, ClipFault)} == {"wrong_length"}
    assert len(looked) == 1


def test_a_file_of_hours_is_read_at_the_places_of_its_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_reading, "MAX_SECONDS", 2.0)
    monkeypatch.setattr(clip_reading, "load_info", lambda *_: pytest.fail("decoded as a whole"))
    found = outcome(CALL, start=4.0, seconds=1.5, channel=1)
    assert isinstance(found, ShardRow)
    assert found.duration == 1.5
    assert np.abs(load(found.audio) - load(CALL, 1)[64_000:88_000]).max() < 1e-4
    assert fault(CALL, start=5.9, seconds=1.0, channel=1)[0] == "out_of_file"


def test_an_exception_that_nobody_foresaw_costs_one_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a decoder's own words")

    clips = [SourceClip(f"{n}.wav", wav(voice(0.5, 300, n)), speaker="anna") for n in range(3)]
    read_clip = measuring.read_clip
    monkeypatch.setattr(
        measuring, "read_clip", lambda clip, options: (broken if clip.path == "1.wav" else read_clip)(clip, options)
    )
    found = list(measure_clips(clips, INTAKE))
    assert found[1] == ClipFault(
        "unreadable", "1.wav cannot be measured (RuntimeError: a decoder's own words); export it again"
    )
    assert isinstance(found[0], ShardRow)
    assert isinstance(found[2], ShardRow)


@pytest.mark.parametrize("rate", [16_001, 44_099])
def test_an_odd_rate_is_taken_in(rate: int) -> None:
    found = outcome(wav(voice(1.0, 300, 1), rate))
    assert isinstance(found, ShardRow)
    assert found.source_rate == rate


def test_what_no_recording_has_is_quarantined() -> None:
    header = wav(SOUND)
    assert fault(header[:24] + struct.pack("<II", 1, 2) + header[32:])[0] == "sample_rate"
    assert fault(wav(tone(level=1.0) * 3, subtype="FLOAT"))[0] == "beyond_full_scale"


def test_a_clip_does_not_begin_before_its_file() -> None:
    reason, detail = fault(wav(SOUND), start=-1.0, seconds=2.0)
    assert (reason, detail) == ("out_of_file", "the clip goes from -1.00 s to 1.00 s, its file lasts 3.00 s")

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elp_core.data.corpus import ShardRow
from pipelines.datasets.delivery import DeliveryOptions, SourceClip, delivery_options
from pipelines.datasets.each_channel import EachChannel
from pipelines.datasets.measuring import IntakeSettings, measure_clip
from pipelines.datasets.worker_processes import WorkerProcess
from pipelines.registry.names import similar_to
from pipelines.registry.policies import DataPolicy
from tests.pipelines.datasets.test_measuring import content_of
from tests.support.clips import voice, wav

LEFT, RIGHT = voice(1.0, 300, 1), voice(1.0, 700, 2)
CALL = SourceClip("in/call.wav", wav(np.stack([LEFT, RIGHT], axis=1)), text="go", speaker="call-7", condition="phone")
EACH = delivery_options({"channel": "each"})


def taken(*clips: SourceClip, options: DeliveryOptions = EACH) -> list[ShardRow]:
    content = content_of(*clips, options=options)
    settings = IntakeSettings(DataPolicy(), options, content.name)
    rows = [measure_clip(clip, settings) for clip in content.clips]
    assert all(isinstance(row, ShardRow) for row in rows)
    return [row for row in rows if isinstance(row, ShardRow)]


def test_each_channel_is_a_clip_with_its_own_speaker_and_condition() -> None:
    left, right = taken(CALL)
    assert (left.speaker, right.speaker) == ("call-7-left", "call-7-right")
    assert (left.condition, right.condition) == ("phone-left", "phone-right")
    assert left.id != right.id
    assert left.text == right.text == "go"


def test_channels_without_a_speaker_are_named_by_their_file() -> None:
    assert [row.speaker for row in taken(SourceClip("in/b.wav", CALL.audio))] == ["in/b.wav-left", "in/b.wav-right"]


def test_a_condition_of_the_delivery_has_a_side_too() -> None:
    options = delivery_options({"channel": "each", "condition": "headset"})
    assert [row.condition for row in taken(CALL, options=options)] == ["headset-left", "headset-right"]


def test_one_sound_and_a_named_channel_stay_one_clip() -> None:
    both = SourceClip("b.wav", wav(np.stack([LEFT, LEFT], axis=1)), speaker="anna")
    mono = SourceClip("c.wav", wav(RIGHT), speaker="bert")
    named = SourceClip("in/call.wav", CALL.audio, speaker="carla", channel=1)
    rows = taken(both, mono, named)
    assert [row.speaker for row in rows] == ["anna", "bert", "carla"]
    assert [row.condition for row in rows] == ["", "", ""]


def test_more_than_two_channels_are_numbered() -> None:
    three = SourceClip("d.wav", wav(np.stack([LEFT, RIGHT, -LEFT], axis=1)), speaker="room")
    assert [row.speaker for row in taken(three)] == ["room-channel-0", "room-channel-1", "room-channel-2"]


def test_a_file_is_looked_into_once_for_its_segments(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(bytes(CALL.audio) if isinstance(CALL.audio, bytes) else b"")
    each = EachChannel(WorkerProcess())
    first = SourceClip("call.wav", path, speaker="call-7", start=0.0, seconds=0.5, sha256="d0")
    assert len(each.clips(first)) == 2
    path.unlink()
    assert [clip.channel for clip in each.clips(first)] == [0, 1]


def test_a_compressed_file_is_looked_into_by_another_process() -> None:
    flac = SourceClip("e.flac", wav(np.stack([LEFT, RIGHT], axis=1), kind="FLAC"), speaker="room", sha256="d3")
    with WorkerProcess() as process:
        assert [clip.speaker for clip in EachChannel(process).clips(flac)] == ["room-left", "room-right"]


def test_a_file_that_cannot_be_read_is_left_to_the_measurement() -> None:
    broken = SourceClip("e.wav", b"no sound", sha256="d2")
    with WorkerProcess() as process:
        assert EachChannel(process).clips(broken) == [broken]


def test_the_option_and_named_channels_change_the_key_only_if_they_are_set() -> None:
    key = content_of(CALL).key
    assert content_of(CALL, options=delivery_options({"channel": ""})).key == key
    named = SourceClip("in/call.wav", CALL.audio, "go", "call-7", condition="phone", channel=0)
    declared = SourceClip("in/call.wav", CALL.audio, "go", "call-7", condition="phone", declared=1.0)
    keys = {key, content_of(CALL, options=EACH).key, content_of(named).key, content_of(declared).key}
    assert len(keys) == 4


def test_a_delivery_of_an_older_version_is_known_by_the_key_it_had() -> None:
    declared = SourceClip("in/call.wav", CALL.audio, "go", "call-7", condition="phone", declared=1.0)
    assert content_of(declared).known([content_of(CALL).key])
    assert not content_of(CALL).known([content_of(declared).key])


def test_segments_need_the_space_of_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(bytes(10_000_000))
    parts = [SourceClip("call.wav", path, start=n, seconds=0.5) for n in range(10)]
    assert content_of(*parts).kept == 10 * 16_000
    assert content_of(*parts, SourceClip("call.wav", path)).kept == 10_000_000
    assert content_of(*parts).size == 10_000_000


def test_the_names_of_channels_are_similar_to_the_speaker_that_they_came_from() -> None:
    names = dict.fromkeys([row.speaker for row in taken(CALL)], 1)
    assert similar_to("call-7", names) == {"call-7-left": 1, "call-7-right": 1}
    assert similar_to("call-7-left", {**names, "call-7": 2}) == {"call-7": 2}
    assert similar_to("call-7-channel-0", {**names, "Call-7": 2}) == {"Call-7": 2}


def test_an_unforeseen_error_of_a_decoder_loses_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> int:
        raise ValueError("buffer size must be a multiple of element size")

    monkeypatch.setattr("pipelines.datasets.each_channel.differing_channels", fails)
    assert EachChannel(WorkerProcess()).clips(CALL) == [CALL]

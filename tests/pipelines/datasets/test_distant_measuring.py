from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets import distant_measuring
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.distant_measuring import measure_elsewhere
from pipelines.datasets.measuring import measure_clips
from tests.support.clips import voice, wav
from tests.support.deliveries import INTAKE


class Wire:
    """An engine in this process: all that crosses is pickled, and two chunks are taken ahead."""

    def __init__(self) -> None:
        self.sent: list[list[SourceClip]] = []

    def __call__(self, work: Callable[[Sequence[Any]], list[Any]], chunks: Iterator[Sequence[Any]]) -> Iterator[Any]:
        pending: list[bytes] = []
        for chunk in chunks:
            pending.append(pickle.dumps((work, chunk)))
            self.sent.append(list(chunk))
            if len(pending) > 2:
                yield self._done(pending.pop(0))
        yield from map(self._done, pending)

    def _done(self, content: bytes) -> list[Any]:
        work, chunk = pickle.loads(content)
        found: list[Any] = work(chunk)
        return found


def clip(number: int, audio: Path | bytes | None = None) -> SourceClip:
    sound = wav(voice(0.3, 300, number)) if audio is None else audio
    return SourceClip(f"{number}.wav", sound, speaker="anna", sha256=f"{number:064}")


def test_every_clip_has_its_place_wherever_it_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(distant_measuring, "CHUNK_CLIPS", 2)
    monkeypatch.setattr(distant_measuring, "MOST_BYTES", 40_000)
    (tmp_path / "6.wav").write_bytes(wav(voice(0.4, 300, 6)))
    clips = [clip(number) for number in range(12)]
    clips[0] = clip(0, tmp_path / "missing.wav")
    clips[3] = clip(3, wav(voice(3.0, 300, 3)))
    clips[5] = clip(5, b"RIFF and nothing that follows")
    clips[6] = clip(6, tmp_path / "6.wav")
    clips[8] = replace(clips[8], fault=ClipFault("bad", "it is bad"), audio=b"x" * 1000)
    clips[11] = clip(11, tmp_path / "gone.wav")
    wire = Wire()
    found = list(measure_elsewhere(clips, INTAKE, wire))
    assert found == list(measure_clips(clips, INTAKE, workers=1))
    # neither a path of this machine nor the bytes of a clip that is bad already, nor a large file
    sent = [one for chunk in wire.sent for one in chunk]
    assert [int(one.path.removesuffix(".wav")) for one in sent] == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert all(isinstance(one.audio, bytes) for one in sent)
    assert sent[6].audio == b""


def test_a_chunk_is_bounded_and_the_clips_of_one_file_share_its_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(distant_measuring, "CHUNK_BYTES", 30_000)
    path = tmp_path / "long.wav"
    path.write_bytes(wav(voice(0.8, 300, 1)))
    cuts = [replace(clip(1, path), start=0.1 * n, seconds=0.1) for n in range(6)]
    clips = [*cuts, *(clip(number) for number in range(2, 8))]
    wire = Wire()
    assert list(measure_elsewhere(clips, INTAKE, wire)) == list(measure_clips(clips, INTAKE, workers=1))
    assert [len(chunk) for chunk in wire.sent] == [6, 3, 3]
    assert len(pickle.dumps(wire.sent[0])) < 2 * path.stat().st_size


def test_a_delivery_without_anything_to_send_is_measured_here(tmp_path: Path) -> None:
    clips = [clip(number, tmp_path / "missing.wav") for number in range(3)]
    wire = Wire()
    assert [one.reason for one in measure_elsewhere(clips, INTAKE, wire) if isinstance(one, ClipFault)] == [
        "missing"
    ] * 3
    assert wire.sent == []
    assert list(measure_elsewhere([], INTAKE, wire)) == []

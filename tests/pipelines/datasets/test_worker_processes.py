from __future__ import annotations

import ctypes
import os
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.data.corpus import ShardRow
from pipelines.datasets import measuring
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.measuring import measure_clips
from pipelines.datasets.worker_processes import WorkerProcess, in_workers
from tests.support.clips import voice, wav
from tests.support.deliveries import INTAKE


class Deadly(bytes):
    """Bytes that end the process which receives them, as the kernel does for lack of memory."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (137,)


def _doubled(chunk: list[int]) -> list[int]:
    if 13 in chunk:
        os._exit(1)
    return [2 * number for number in chunk]


@pytest.mark.slow
@pytest.mark.integration
def test_the_item_that_ends_a_process_is_found_and_the_others_are_kept() -> None:
    chunks = [list(range(start, start + 4)) for start in range(0, 24, 4)]
    found = [one for done in in_workers(_doubled, chunks, 2, lambda number: -number) for one in done]
    assert found == [-number if number == 13 else 2 * number for number in range(24)]


def _odd(number: int) -> int:
    """Double a number; 13 hangs in C, 17 asks for too much memory, 19 exits, 23 lacks a package."""
    if number == 13:
        wait = ctypes.CDLL(None).pause
        while True:
            wait()
    if number == 17:
        bytearray(2**40)
    if number == 19:
        os._exit(1)
    if number == 23:
        raise ImportError("no such package")
    return 2 * number


def _lost(number: int) -> int:
    return -number


@pytest.mark.integration
def test_an_item_that_hangs_or_ends_its_process_is_lost_and_the_others_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the other process finds the function of this module
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    with WorkerProcess(seconds=1) as process:
        assert list(process.each(_odd, [1, 13, 2, 3, 19, 19, 4], _lost)) == [2, -13, 4, 6, -19, -19, 8]
        # it goes on with another request
        assert list(process.each(_odd, [5], _lost)) == [10]
        # an error of the work ends the process, and so does too much memory
        assert list(process.each(_odd, [17, 6], _lost)) == [-17, 12]
        with pytest.raises(ImportError, match="no such package"):
            list(process.each(_odd, [1, 23, 2], _lost))


@pytest.mark.integration
def test_items_that_cannot_be_passed_on_are_lost_alone() -> None:
    items = [b"a", Deadly(b"x"), b"b", Deadly(b"y")]
    with WorkerProcess() as process:
        assert list(process.each(len, items, lambda _: -1)) == [1, -1, 1, -1]


@pytest.mark.integration
def test_a_small_delivery_survives_a_clip_that_ends_its_process() -> None:
    flac = wav(voice(0.3, 300, 1), kind="FLAC")
    clips = [SourceClip(f"{n}.flac", flac, speaker="anna", sha256=str(n)) for n in range(4)]
    clips[2] = replace(clips[2], audio=Deadly(flac))
    clips.insert(1, SourceClip("plain.wav", wav(voice(0.3, 300, 2)), speaker="anna"))
    found = list(measure_clips(clips, INTAKE))
    assert [isinstance(one, ShardRow) for one in found] == [True, True, True, False, True]
    assert isinstance(found[3], ClipFault)
    assert found[3].detail.startswith("2.flac ended the process that read it, for lack of memory or after 600 s")


def test_plain_samples_are_read_in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipelines.datasets.worker_processes._started", lambda: pytest.fail("a process was started"))
    sound = voice(0.3, 300, 1)
    plain = [wav(sound), wav(sound, 44_100, "FLOAT"), wav(sound, kind="AIFF"), wav(sound, kind="RF64"), wav(sound)[:-9]]
    clips = [SourceClip(f"{n}.wav", content) for n, content in enumerate([*plain, b""])]
    clips += [SourceClip("gone.wav", tmp_path / "gone.wav"), SourceClip("x", b"?", fault=ClipFault("bad", "it is bad"))]
    assert len(list(measure_clips(clips, INTAKE))) == len(clips)


@pytest.mark.integration
def test_a_clip_that_ends_a_worker_goes_to_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [SourceClip(f"{n}.wav", wav(voice(0.3, 300, n)), speaker="anna") for n in range(6)]
    clips[3] = replace(clips[3], audio=Deadly(b"x"))
    monkeypatch.setattr(measuring, "_POOL_FROM", 2)
    monkeypatch.setattr(measuring, "_CHUNK", 2)
    found = list(measure_clips(clips, INTAKE, workers=2))
    assert [isinstance(one, ShardRow) for one in found] == [True, True, True, False, True, True]
    assert isinstance(found[3], ClipFault)
    assert found[3].reason == "unreadable"
    assert "3.wav ended the process that read it" in found[3].detail


def test_the_clips_of_a_file_share_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_CHUNK", 2)
    monkeypatch.setattr(measuring, "_FILE_CHUNK", 5)
    clips = [SourceClip("a", Path("a"), sha256=digest) for digest in ("a", "b", "c", "c", "c", "c", "c", "c", "d")]
    chunks = ["".join(clip.sha256 for clip in chunk) for chunk in measuring._chunks(clips)]
    assert chunks == ["ab", "ccccc", "cd"]

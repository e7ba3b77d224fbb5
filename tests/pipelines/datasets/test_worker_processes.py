from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.data.corpus import ShardRow
from pipelines.datasets import measuring
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.measuring import measure_clips
from pipelines.datasets.worker_processes import in_workers
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


@pytest.mark.integration
def test_the_item_that_ends_a_process_is_found_and_the_others_are_kept() -> None:
    chunks = [list(range(start, start + 4)) for start in range(0, 24, 4)]
    found = [one for done in in_workers(_doubled, chunks, 2, lambda number: -number) for one in done]
    assert found == [-number if number == 13 else 2 * number for number in range(24)]


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

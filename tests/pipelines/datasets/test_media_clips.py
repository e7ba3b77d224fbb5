"""Intake takes the sound of media files, whole and in parts, from a file and from an archive's bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from elp_core.data.corpus import ShardRow
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.measuring import measure_clip
from tests.elp_core.test_media import KINDS, encode
from tests.support.deliveries import INTAKE


@pytest.mark.parametrize("name", KINDS)
def test_a_media_file_is_a_clip_or_has_clips(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, **KINDS[name])
    for audio in (path, path.read_bytes()):
        whole, part = (
            measure_clip(SourceClip(name, audio, text="open the door", speaker="anna", **cut), INTAKE)
            for cut in ({}, {"start": 0.5, "seconds": 1.0})
        )
        assert isinstance(whole, ShardRow), whole
        assert isinstance(part, ShardRow), part
        assert (whole.duration, part.duration) == (pytest.approx(3.0, abs=0.06), 1.0)


def test_a_media_file_that_was_cut_off_is_quarantined(tmp_path: Path) -> None:
    path = encode(tmp_path / "browser.webm", "libopus", rate=48_000)
    path.write_bytes(path.read_bytes()[:9000])
    found = measure_clip(SourceClip("browser.webm", path), INTAKE)
    assert isinstance(found, ClipFault)
    assert found.reason == "wrong_length"
    assert found.detail.startswith("browser.webm lasts 3.0")

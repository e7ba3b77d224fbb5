"""The data of a workspace that an earlier release made is shown and played."""

from __future__ import annotations

from pathlib import Path

from elp_core.audio import clip_id, load
from pipelines.datasets.clip_table import ClipFilter
from pipelines.datasets.data_slots import slots_with_data
from pipelines.datasets.slot_data import open_slot_data
from pipelines.registry.slot import Slot
from tests.support.golden_workspace import unpack

ARCHIVE = Path(__file__).resolve().parents[1] / "goldens" / "workspaces" / "workspace-0.1.0.tar.xz"
SLOT = Slot("plant-a", "asr")


def test_clips_history_quarantine_and_sound_of_the_first_release(tmp_path: Path) -> None:
    root = unpack(ARCHIVE, tmp_path / "my plant")
    assert slots_with_data(root)[SLOT] == 2
    data = open_slot_data(root, SLOT, 1)
    assert data is not None
    assert data.shards.missing == 0
    total, rows = data.clips.page(ClipFilter(split="test"), 0, 5)
    assert (total, len(rows)) == (18, 5)
    wav = data.wav(rows[0].id)
    assert wav is not None
    assert clip_id(load(wav)) == rows[0].id
    history = data.history(rows[0].id)
    assert history is not None
    assert history.spans == ((1, 2),)
    assert history.golden == ("golden/plant-a/asr/v1",)
    assert history.learned == history.unknown == ()
    silent = next(clip for clip in data.quarantine if clip.reason == "silent")
    assert data.quarantined_wav(silent.key)

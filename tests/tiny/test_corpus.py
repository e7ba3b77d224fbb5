from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tiny import corpus
from tiny.corpus import Prepared, assemble, is_held_out, open_corpus, prepare
from tiny.settings import Recipe
from tiny.sources import Clip, Source


@pytest.fixture
def tone() -> np.ndarray:
    return (0.3 * np.sin(np.arange(16_000) / 4)).astype(np.float32)


def test_a_clip_has_a_copy_for_each_speed_in_whole_frames(recipe: Recipe, tone: np.ndarray) -> None:
    slow, normal = prepare(tone, recipe.corpus)
    assert (slow.size % 320, normal.size) == (0, 16_000)
    assert slow.size == pytest.approx(16_000 / 0.88, abs=320)


def test_too_short_clips_are_counted_and_left_out(recipe: Recipe, tone: np.ndarray) -> None:
    clips = [Prepared("s", "a", "1", prepare(tone, recipe.corpus)), Prepared("s", "a", "2", ())]
    audio, index, dropped = assemble(iter(clips), recipe.corpus)
    assert dropped == 1
    assert index["offset"].to_pylist() == [0, index["length"][0].as_py()]
    assert len(audio) == sum(index["length"].to_pylist())


def test_the_held_out_share_depends_on_the_name_alone() -> None:
    share = np.mean([is_held_out(f"clip-{n}", 0.2) for n in range(2000)])
    assert share == pytest.approx(0.2, abs=0.03)
    assert is_held_out("clip-0", 1.0)
    assert not is_held_out("clip-0", 0.0)


def test_the_stage_writes_what_it_opens(
    recipe: Recipe, tone: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", tone, 16_000)
    (tmp_path / "b.wav").write_bytes(b"RIFF, but broken")
    clips = tuple(Clip(tmp_path / name, "talk", "anna") for name in ("a.wav", "b.wav"))
    monkeypatch.setattr(corpus, "recorded", lambda *_: [Source("talk", "1.0", "CC0-1.0", clips)])
    summary = corpus.build(recipe)
    assert summary["clips_left_out"] >= 1
    assert {k: summary["sources"][0][k] for k in ("name", "licence")} == {"name": "talk", "licence": "CC0-1.0"}
    opened = open_corpus(recipe.data / "corpus")
    assert int(opened.length.sum()) == len(opened.audio)
    assert set(pq.read_table(recipe.data / "corpus" / "index.parquet")["source"].to_pylist()) == {"talk", "espeak-ng"}

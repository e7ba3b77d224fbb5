"""A small part of the main job on real recordings; `benchmarks/bench_real_speech.py` has the whole."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from elp_core.assemble import build, evaluate
from elp_core.backbones import Backbone
from elp_core.tasks import make_task
from elp_core.training import train
from elp_core.types import Split
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.versions import load_golden, load_split
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import open_workspace
from pipelines.registry.slot import Slot

pytestmark = [pytest.mark.real_speech, pytest.mark.integration, pytest.mark.timeout(900)]

TAKES = (0, 5, 10, 11, 12, 13, 14)
"""Of each digit and speaker: one to test, one to validate, five to train on."""
SETTINGS = """\
defaults:
  asr: {data: {closed_set: true}, train: {epochs: 8, min_steps: 60}}
  asv: &small
    data: {closed_set: true}
    adapter: {encoder: {bottleneck: 32}, layer: {width: 96}}
    train: {epochs: 3}
  sic: *small
"""


@pytest.fixture(scope="module")
def recordings(fsdd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chosen takes as a folder."""
    folder = tmp_path_factory.mktemp("fsdd") / "recordings"
    folder.mkdir()
    chosen = re.compile(rf"\d_[a-z]+_({'|'.join(map(str, TAKES))})\.wav")
    if fsdd.is_file():
        with tarfile.open(fsdd) as archive:
            files = [(Path(m.name).name, m) for m in archive if chosen.fullmatch(Path(m.name).name)]
            for name, member in files:
                stream = archive.extractfile(member)
                assert stream is not None
                (folder / name).write_bytes(stream.read())
    else:
        for path in fsdd.rglob("*.wav"):
            if chosen.fullmatch(path.name):
                (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _before_and_after(slot: Slot, source: Path, root: Path) -> tuple[float, float]:
    """The metric of the untrained and of the trained adapter on the golden set."""
    init_workspace(root)
    (root / "elp.yaml").write_text(SETTINGS)
    subprocess.run(["git", "commit", "-qam", "Settings"], cwd=root, check=True)
    workspace = open_workspace(root)
    version = add_delivery(workspace, slot, source, "fsdd", {})
    settings, cache, where = workspace.settings.for_slot(slot), workspace.state / "cache", str(root)
    splits: tuple[tuple[Split], tuple[Split]] = (("train",), ("validation",))
    heard, judged = (load_split(where, version.tag, slot, split, cache) for split in splits)
    golden = load_golden(where, version.tag, slot, cache).clips
    assert not {clip.id for clip in golden} & {clip.id for clip in (*heard, *judged)}
    task = make_task(slot.task, heard, settings.task)
    model = build(Backbone.from_pretrained("elp:tiny"), settings.adapter, task, settings.train.seed)
    before = evaluate(model, golden).value
    train(model, heard, judged, settings.train)
    return before, evaluate(model, golden).value


@pytest.mark.slow
def test_digits_are_recognised_letter_by_letter(recordings: Path, tmp_path: Path) -> None:
    before, after = _before_and_after(Slot("clean-site", "asr"), recordings, tmp_path / "workspace")
    assert before > 0.95
    assert after < 0.6


def test_speakers_are_told_apart(recordings: Path, tmp_path: Path) -> None:
    # half of the digits show the same in half the time
    few = tmp_path / "few"
    few.mkdir()
    for path in recordings.glob("[0-4]_*.wav"):
        shutil.copy(path, few)
    before, after = _before_and_after(Slot("clean-site", "asv"), few, tmp_path / "workspace")
    assert before > 0.15
    assert after < 0.12


@pytest.mark.slow
def test_the_digit_is_understood_as_an_intent(recordings: Path, tmp_path: Path) -> None:
    before, after = _before_and_after(Slot("clean-site", "sic"), recordings, tmp_path / "workspace")
    assert before > 0.7
    assert after < 0.3

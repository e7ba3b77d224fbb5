"""The tutorial's commands, one after the other, on a folder of recordings and a table as a reader has them."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import fences
from tests.support.shell import shell

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1800)]

SETTINGS = {
    "defaults": {"asr": {"train": {"epochs": 2}, "gate": {"limit": 1.5}}},
    "servers": {"mlflow_port": 0, "prefect_port": 0},
}
"""Two epochs instead of twenty-four, a limit that such an adapter keeps to, and free ports."""
PAGE = "first-adapter.md"
COMMANDS = [line for fence in fences("sh") if fence.page == PAGE for line in fence.commands]
(DECLARED,) = [yaml.safe_load(fence.text) for fence in fences("yaml") if fence.page == PAGE]
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TAKES = 3


@pytest.fixture
def folder(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "foundry").exists():
        shell("elp down --yes", tmp_path / "foundry")


def _real_digits(source: Path) -> Iterator[tuple[bytes, str, str]]:
    """Some recordings of the Free Spoken Digit Dataset, with words and speaker."""

    def of(name: str, read: io.BufferedIOBase) -> Iterator[tuple[bytes, str, str]]:
        found = re.fullmatch(r"(\d)_([a-z]+)_(\d+)\.wav", name)
        if found and int(found[3]) < TAKES:
            yield read.read(), DIGITS[int(found[1])], found[2]

    if source.is_file():
        with tarfile.open(source) as archive:
            for member in archive:
                if stream := archive.extractfile(member):
                    yield from of(Path(member.name).name, stream)
        return
    for path in sorted(source.rglob("*.wav")):
        with path.open("rb") as file:
            yield from of(path.name, file)


def _synthetic(folder: Path) -> Iterator[tuple[bytes, str, str]]:
    """Clips of the embedded corpus: without the real recordings, the commands are the same."""
    from pipelines.demo.corpus import SITES, DeliveryPlan, write_delivery

    manifest = write_delivery(SITES[0], DeliveryPlan("tutorial", per_speaker=2), folder / "corpus", seed=1)
    for line in manifest.read_text("utf-8").splitlines():
        clip = json.loads(line)
        yield (manifest.parent / clip["audio_filepath"]).read_bytes(), clip["text"], clip["speaker"]
    shutil.rmtree(folder / "corpus")


def _recordings(folder: Path, clips: Iterator[tuple[bytes, str, str]]) -> int:
    """The folder of the tutorial: numbered files, and a table with the columns that its person chose."""
    recordings = folder / "recordings"
    recordings.mkdir()
    rows = ["Recording;Words;Person"]
    for number, (audio, words, person) in enumerate(clips, 1):
        (recordings / f"rec{number:04}.wav").write_bytes(audio)
        rows.append(f"rec{number:04}.wav;{words};{person}")
    (recordings / "list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return len(rows) - 1


def test_a_folder_and_a_table_become_a_promoted_adapter(folder: Path, request: pytest.FixtureRequest) -> None:
    try:
        clips = _real_digits(request.getfixturevalue("fsdd"))
    except pytest.skip.Exception:
        clips = _synthetic(folder)
    count = _recordings(folder, clips)
    workspace = folder / "foundry"
    for line in COMMANDS:
        if line.startswith("cd "):
            continue
        if line.startswith("git add"):
            # what the page tells the reader to write, and what makes the test short
            text = yaml.safe_dump({**SETTINGS, **DECLARED}, sort_keys=False)
            (workspace / "elp.yaml").write_text(text, encoding="utf-8")
        done = shell(line, workspace if workspace.exists() else folder, timeout=1200)
        assert done.returncode == 0, line
        if line.startswith("elp data inspect"):
            shown = next(row for row in COMMANDS if row.startswith("elp data add"))
            assert shown.replace("plant-a/", "SITE/") in done.stdout
            assert f"{count:,}; {count:,} good" in done.stdout
        if line.startswith("elp data add"):
            assert "not trainable yet" not in done.stdout
    assert "elp promote plant-a/asr" in "\n".join(COMMANDS)

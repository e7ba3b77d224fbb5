"""A folder of recordings and a table as people have them: real digits, or the embedded corpus without them."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_recordings(folder: Path, request: pytest.FixtureRequest, takes: int) -> int:
    """Write `folder`/recordings with some takes of each digit by each person; return the number of recordings."""
    try:
        clips = _real_digits(request.getfixturevalue("fsdd"), takes)
    except pytest.skip.Exception:
        clips = _synthetic(folder)
    return _recordings(folder, clips)


def _real_digits(source: Path, takes: int) -> Iterator[tuple[bytes, str, str]]:
    """Some recordings of the Free Spoken Digit Dataset, with words and speaker."""

    def of(name: str, read: io.BufferedIOBase) -> Iterator[tuple[bytes, str, str]]:
        found = re.fullmatch(r"(\d)_([a-z]+)_(\d+)\.wav", name)
        if found and int(found[3]) < takes:
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

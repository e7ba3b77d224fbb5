"""From unlabelled recordings to labelled ones: suggest, label in Label Studio, take in."""

from __future__ import annotations

import csv
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli.main import run
from pipelines.datasets.versions import find_latest
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.deliveries import silence
from tests.support.watched_slot import Watched, watched_slot

pytestmark = pytest.mark.integration
SLOT = Slot("labelled-next", "asr")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Watched:
    return watched_slot(tmp_path_factory.mktemp("next"), mlflow_uri, SLOT)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Unlabelled recordings: twelve of speech, a copy of one, and one of each kind that is left out."""
    folder = tmp_path / "site"
    (folder / "calls").mkdir(parents=True)
    for place in range(12):
        (folder / "calls" / f"{place}.wav").write_bytes(wav(voice(0.6, 170 + 25 * place, 7000 + place)))
    (folder / "copy of 3.wav").write_bytes((folder / "calls" / "3.wav").read_bytes())
    (folder / "silent.wav").write_bytes(silence())
    (folder / "cut.flac").write_bytes(b"fLaC")
    # a clip of the golden set has this name
    (folder / "0_0.wav").write_bytes(wav(voice(0.7, 230, 2)))
    (folder / "short.wav").write_bytes(wav(voice(0.05, 200, 1)))
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.wav")).write_bytes(wav(voice(0.6, 333, 3)))
    return folder


def _shown(capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capfd.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def _answered(task: dict[str, Any], number: int, text: str | None) -> dict[str, Any]:
    """A task as Label Studio exports it when a person has corrected the draft, or has skipped the task."""
    result = {"id": "d", "from_name": "transcription", "to_name": "audio", "type": "textarea", "origin": "manual"}
    annotation = {
        "id": number,
        "completed_by": 1,
        "result": [result | {"value": {"text": [text or ""]}}],
        "was_cancelled": text is None,
        "ground_truth": False,
    }
    return {"id": number, **task, "annotations": [annotation], "drafts": [], "project": 1}


def test_the_recordings_that_are_worth_most_are_labelled_and_taken_in(
    watched: Watched, site: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELP_WORKSPACE", str(watched.workspace.root))
    out = tmp_path / "out"
    command = ["data", "suggest", str(SLOT), str(site), "-n", "5", "--output", str(out)]
    found = _shown(capfd, *command)
    assert (found["version"], found["considered"], len(found["clips"])) == (1, 12, 5)
    assert found["basis"] == "coverage times the uncertainty of the champion, v1"
    assert len({clip["id"] for clip in found["clips"]}) == 5
    assert {one["name"]: one["reason"] for one in found["left_out"] if one["reason"] != "near_copy"} == {
        "copy of 3.wav": "same_sound",
        "silent.wav": "silent",
        "cut.flac": "corrupt",
        "short.wav": "too_short",
        "0_0.wav": "taken",
        "caf\\udce9.wav": "file_name",
    }
    assert _shown(capfd, *command) == found

    with (out / "suggested.csv").open(newline="") as table:
        assert [row["path"] for row in csv.DictReader(table)] == [clip["path"] for clip in found["clips"]]
    tasks = json.loads((out / "label-studio.json").read_text())
    assert tasks[0]["data"]["audio"] == f"/data/local-files/?d={found['clips'][0]['path']}"
    area = ET.parse(out / "label-studio.xml").getroot().find("TextArea")
    assert area is not None
    assert area.get("toName") == "audio"
    for task, clip in zip(tasks, found["clips"], strict=True):
        assert [one["result"][0]["value"]["text"] for one in task.get("predictions", [])] == (
            [[clip["draft"]]] if clip["draft"] else []
        )

    # people correct four drafts and skip one task; the export is not in the folder of the recordings
    texts = ["open the door", "close the valve", "stop the pump", "open the valve", None]
    export = tmp_path / "export" / "project-1.json"
    export.parent.mkdir()
    answered = [_answered(task, number, text) for number, (task, text) in enumerate(zip(tasks, texts, strict=True), 1)]
    export.write_text(json.dumps(answered))
    before = find_latest(watched.workspace, SLOT)
    assert before
    added = _shown(capfd, "data", "add", str(SLOT), str(export), "--root", str(site))
    assert added["dataset"]["clips"] == before.clips + 4
    assert added["warnings"][0] == "1 of 5 tasks left out: 1 skipped (such as task 5)"

    # the champion labels others, marked and in training only; they are still suggested
    limits = ["--share", "0.2", "--agree", "1", "--confidence", "0"]
    labelled = _shown(capfd, "data", "pseudo-label", str(SLOT), str(site), *limits)
    version = find_latest(watched.workspace, SLOT)
    assert version
    assert (version.teachers, version.taught_clips) == ((labelled["teacher"],), labelled["taken"])
    assert 0 < version.taught_seconds <= labelled["budget"]
    assert labelled["agreed"] == labelled["taken"] + labelled["refused"]["over_share"]
    none = _shown(capfd, "data", "pseudo-label", str(SLOT), str(site), *limits, "--dry-run")
    assert none["taken"] == 0

    # what is labelled now is not suggested again
    again = _shown(capfd, *command[:-1], str(tmp_path / "again"), "--no-champion")
    assert again["basis"] == "coverage alone: without the champion, as asked"
    assert again["considered"] == 8
    assert not {clip["id"] for clip in again["clips"]} & {clip["id"] for clip in found["clips"][:4]}
    assert np.isfinite([clip["score"] for clip in again["clips"]]).all()


def test_classes_that_nobody_knows_yet_are_not_suggested(
    watched: Watched, site: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELP_WORKSPACE", str(watched.workspace.root))
    assert run(["data", "suggest", "labelled-next/ser", str(site), "--no-champion"]) == 2
    assert "add clips of each class first: elp data add" in capfd.readouterr().err

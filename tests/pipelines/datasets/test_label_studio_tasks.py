"""Label Studio's export of tasks about whole recordings: answered, skipped, empty, and answered by several people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.delivery import SourceClip
from pipelines.datasets.importers import choose_importer, source_remarks
from pipelines.datasets.importers.label_studio import LABEL_STUDIO
from pipelines.errors import IntakeError
from tests.support.clips import voice, wav

WAV = wav(voice(0.5, 200, 1))


def _answer(value: str, name: str = "transcription") -> dict[str, Any]:
    kind, key = ("choices", "choices") if name == "label" else ("textarea", "text")
    return {
        "id": "x1",
        "from_name": name,
        "to_name": "audio",
        "type": kind,
        "origin": "manual",
        "value": {key: [value]},
    }


def _annotation(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "result": [*results], **more}


def _task(number: int, audio: str, *annotations: dict[str, Any], **data: str) -> dict[str, Any]:
    draft = {"model_version": "plant-a/asr v3", "score": 0.4, "result": [_answer("a draft")]}
    return {
        "id": number,
        "data": {"audio": audio, **data},
        "annotations": [*annotations],
        "predictions": [draft],
        "total_annotations": len(annotations),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "mon/a.wav", "tue/50% off+.wav", "b.wav"):
        path = tmp_path / "calls" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WAV)
    return tmp_path


def _export(folder: Path, *tasks: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "project-1-at-2026-11-29.json"
    path.write_text(json.dumps(tasks))
    return path


def _clips(path: Path, **options: str) -> dict[str, SourceClip]:
    importer = choose_importer(path, None, options)
    assert importer.name == "label-studio"
    return {clip.path: clip for clip in importer.read(path, **options)}


def test_each_answered_task_is_a_clip_of_the_file_at_the_end_of_its_address(folder: Path) -> None:
    path = _export(
        folder / "export",
        _task(1, "/data/local-files/?d=mon/a.wav", _annotation(_answer("open  the door "))),
        _task(2, "/data/local-files/?d=site/calls/tue/50%25%20off%2B.wav", _annotation(_answer("close"))),
        _task(3, "https://host/data/upload/1/0a1b2c3d-b.wav", _annotation(_answer("angry", "label")), speaker="emil"),
        _task(4, "a.wav", _annotation(_answer("stop"), _answer("anna", "speaker"), _answer("unsure", "note"))),
    )
    found = _clips(path, root=str(folder / "calls"))
    assert {name: (clip.text, clip.label, clip.speaker) for name, clip in found.items()} == {
        "mon/a.wav": ("open the door", "", ""),
        "tue/50% off+.wav": ("close", "", ""),
        "b.wav": ("", "angry", "emil"),
        "a.wav": ("stop", "", "anna"),
    }
    assert not any(clip.fault for clip in found.values())


def test_tasks_that_nobody_answered_are_left_out_with_a_sentence(folder: Path) -> None:
    skipped = _annotation(_answer("half"), was_cancelled=True)
    path = _export(
        folder / "calls",
        _task(1, "a.wav", _annotation(_answer("open"))),
        _task(2, "mon/a.wav", skipped),
        _task(3, "b.wav"),
        _task(4, "gone.wav", _annotation(_answer("  "))),
    )
    assert [*_clips(path)] == ["a.wav"]
    assert source_remarks(path) == [
        "3 of 4 tasks left out: 1 skipped (such as task 2) and 2 without an answer (such as task 3)"
    ]
    with pytest.raises(IntakeError, match="has no segment"):
        _clips(_export(folder / "calls", _task(2, "mon/a.wav", skipped)))


def test_people_who_disagree_send_the_clip_to_quarantine_and_those_who_agree_do_not(folder: Path) -> None:
    one, other = _annotation(_answer("open")), _annotation(_answer("close"))
    truth = _annotation(_answer("close"), ground_truth=True)
    both = _answer("x", "label") | {"value": {"choices": ["sad", "angry"]}}
    path = _export(
        folder / "calls",
        _task(1, "a.wav", one, other),
        _task(2, "mon/a.wav", one, _annotation(_answer(" open"))),
        _task(3, "b.wav", one, truth),
        _task(4, "tue/50% off+.wav", _annotation(both)),
    )
    found = _clips(path)
    faults = {name: (clip.fault.reason, clip.fault.detail) for name, clip in found.items() if clip.fault}
    assert faults == {
        "a.wav": (
            "annotators_disagree",
            "task 1 has 'open' and 'close'; correct one, or mark one as the ground truth",
        ),
        "tue/50% off+.wav": ("several_labels", "task 4 has 2 classes, expected one"),
    }
    assert found["mon/a.wav"].text == "open"
    assert found["b.wav"].text == "close"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (_task(2, "gone.wav", _annotation(_answer("x"))), "task 2: the file gone.wav does not exist"),
        (_task(2, "x/a.wav", _annotation(_answer("x"))), "task 2 and task 1 are about one recording, a.wav; keep one"),
        (_task(2, "a.txt", _annotation(_answer("x"))), "task 2 names 0 recordings in its data, expected one"),
        (_task(2, "b.wav", _annotation({"type": "textarea", "value": {"text": ["x"]}})), "'from_name' is missing"),
        (_task(2, "b.wav", _annotation(_answer("x") | {"value": {"text": [7]}})), "task 2 has 7 as an answer"),
    ],
)
def test_a_task_that_is_not_understood_refuses_the_delivery(folder: Path, task: dict[str, Any], said: str) -> None:
    path = _export(folder / "calls", _task(1, "a.wav", _annotation(_answer("open"))), task)
    with pytest.raises(IntakeError, match=said):
        _clips(path)


def test_a_comment_is_no_transcript_and_a_judgement_of_quality_no_class(folder: Path) -> None:
    quality = _answer("good", "label") | {"from_name": "quality"}
    nothing = _answer("") | {"value": {"text": []}}
    path = _export(
        folder / "calls",
        _task(1, "a.wav", _annotation(_answer("open"), _answer("sad", "label"))),
        _task(2, "mon/a.wav", _annotation(_answer("noisy", "comment"))),
        _task(3, "b.wav", _annotation(nothing, _answer("noisy", "comment"))),
        _task(4, "tue/50% off+.wav", _annotation(quality)),
    )
    assert [(clip.text, clip.label) for clip in _clips(path).values()] == [("open", "sad")]
    assert source_remarks(path) == ["3 of 4 tasks left out: 3 without an answer (such as task 2)"]
    # which of two controls has the words, nobody can know, even if no task has both
    one, two = (_task(number, "a.wav", _annotation(_answer("x", name))) for number, name in ((1, "one"), (2, "two")))
    unnamed = [task | {"predictions": [7]} for task in (one, two)]
    with pytest.raises(IntakeError, match=r"several controls \(one, two\); name the one that counts 'transcription'"):
        _clips(_export(folder / "calls", *unnamed))


def test_exports_that_are_too_large_together_are_refused_unread(folder: Path) -> None:
    for name in ("one", "two"):
        with _export(folder / name, _task(1, "a.wav")).open("r+b") as file:
            file.truncate(600 * 2**20)
    with pytest.raises(IntakeError, match="1,200 MiB together, expected 1,024 at most"):
        list(LABEL_STUDIO.read(folder))

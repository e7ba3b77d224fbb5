"""The files of a suggestion: a table, and what Label Studio needs to label it with the champion's answers as drafts.

`label-studio.json` are tasks in Label Studio's basic JSON format (https://labelstud.io/guide/predictions), which its
import takes; `label-studio.xml` is the labelling configuration. The export of the project comes back with
`elp data add --format label-studio` (`datasets.importers.label_studio_tasks`).
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from elp_core.files import write_whole
from pipelines.selection.suggest import LabelSuggestion, SuggestedClip

TABLE, TASKS, CONFIG, OUT = "suggested.csv", "label-studio.json", "label-studio.xml", "left-out.csv"
_LOCAL = "/data/local-files/?d="
"""How Label Studio addresses a file below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""
_COLUMNS = ("path", "score", "uncertainty", "stands_for", "seconds", "reasons", "draft")


def write_suggestion(found: LabelSuggestion, folder: Path) -> list[Path]:
    """Write a suggestion to a folder; return the paths of its files."""
    rows = [[getattr(clip, name) for name in _COLUMNS] for clip in found.clips]
    tasks = [_task(found, clip) for clip in found.clips]
    texts = {
        TABLE: _csv(_COLUMNS, rows),
        TASKS: json.dumps(tasks, indent=2, ensure_ascii=False) + "\n",
        CONFIG: labelling_config(found),
        OUT: _csv(("path", "reason", "detail"), [[one.name, one.reason, one.detail] for one in found.left_out]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]


def labelling_config(found: LabelSuggestion) -> str:
    """Return the labelling configuration: a text area for the words or the speaker, or a choice of classes."""
    needs = found.slot.task_spec.needs
    if "label" in needs:
        choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in found.classes)
        control = f'  <Choices name="label" toName="audio" choice="single" required="true">\n{choices}  </Choices>\n'
    else:
        name = "transcription" if "text" in needs else "speaker"
        control = (
            f'  <TextArea name="{name}" toName="audio" rows="3" editable="true" maxSubmissions="1" required="true"/>\n'
        )
    return f'<View>\n  <Audio name="audio" value="$audio"/>\n{control}</View>\n'


def _task(found: LabelSuggestion, clip: SuggestedClip) -> dict[str, Any]:
    task: dict[str, Any] = {
        "data": {"audio": _LOCAL + quote(clip.path), "clip": clip.id, "score": clip.score, "why": clip.reasons}
    }
    if clip.draft:
        kind, name, key = ("choices", "label", "choices") if found.classes else ("textarea", "transcription", "text")
        result = {"from_name": name, "to_name": "audio", "type": kind, "id": "draft", "value": {key: [clip.draft]}}
        model = f"{found.slot} v{found.version}"
        task["predictions"] = [{"model_version": model, "score": clip.confidence, "result": [result]}]
    return task


def _csv(columns: tuple[str, ...], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue()

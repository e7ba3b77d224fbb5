"""Tasks of a Label Studio export that are about whole recordings: one text, or one class, for each task.

That is what a text area or choices without regions give. A task that nobody has answered is no clip, and
`unlabelled_tasks` counts it. People who disagree about a recording make it a clip with a fault.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.importers.manifest_text import undecodable
from pipelines.datasets.importers.named_files import NamedFiles
from pipelines.datasets.importers.timed_segments import RECORDINGS
from pipelines.errors import IntakeError
from pipelines.number_text import count

Task = Mapping[str, Any]
Controls = Mapping[str, frozenset[str]]
"""Names of controls, by type."""
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Label Studio puts eight digits before the name of an uploaded file."""
_USUAL = {"textarea": "transcription", "choices": "label"}
"""Name of the control with the answer, if an export has several of one type."""
_SPEAKER = "speaker"


@dataclass(frozen=True)
class TaskAnswer:
    """What one person says of a recording as a whole."""

    text: str = ""
    label: str = ""
    speaker: str = ""
    labels: int = 0
    """Number of chosen classes."""
    named: bool = False
    """Whether the person named the speaker."""

    @property
    def given(self) -> bool:
        """Whether it says anything that a model learns."""
        return bool(self.text or self.label or self.named)


def chosen_annotations(task: Task) -> list[Mapping[str, Any]]:
    """Return the annotations of a task that count: those marked as the ground truth, or else all but skipped ones."""
    made = [one for one in task["annotations"] if not one.get("was_cancelled")]
    return [one for one in made if one.get("ground_truth")] or made


def has_regions(task: Task) -> bool:
    """Return whether a chosen annotation of a task is about parts of the recording."""
    return any("start" in result["value"] for one in chosen_annotations(task) for result in one["result"])


def recording_address(task: Task, place: str) -> str:
    """Return the only address of a recording in the data of a task, as a path with forward slashes."""
    values = [value for value in task["data"].values() if isinstance(value, str)]
    named = [path for value in values if Path(path := _path_of(value)).suffix.lower() in RECORDINGS]
    if len({Path(path).name for path in named}) != 1:
        raise IntakeError(f"{place} names {len(named)} recordings in its data, expected one")
    # of two ways to name one file, the one with more folders says more
    return max(named, key=lambda path: path.count("/"))


def uploaded_name(name: str) -> str:
    """Return the name that an uploaded file had before its upload, or an empty text."""
    found = _UPLOADED.fullmatch(name)
    return found[1] if found else ""


def _path_of(address: str) -> str:
    """Return the path of an address such as ``/data/local-files/?d=calls/a.wav`` or ``s3://bucket/a.wav``."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    return (local[0] if local else unquote(parts.path)).replace("\\", "/")


def answer_controls(tasks: Iterable[tuple[str, Task]]) -> Controls:
    """Return the names of the controls of an export, by type, wherever they are used; those of speakers are left out.

    One task does not show them: a person may have filled the comment and not the transcript.
    """
    found: dict[str, set[str]] = {kind: set() for kind in _USUAL}
    for _, task in tasks:
        for made in (*_mappings(task["annotations"]), *_mappings(task.get("predictions"))):
            for result in _mappings(made.get("result")):
                kind, name = str(result.get("type", "")), str(result.get("from_name") or "")
                if kind in found and name not in ("", _SPEAKER):
                    found[kind].add(name)
    return {kind: frozenset(names) for kind, names in found.items()}


def _mappings(values: object) -> list[Mapping[str, Any]]:
    # what is not as expected here is no answer either, such as the numbers of predictions
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []


def whole_clips(
    tasks: Sequence[tuple[str, Task]], controls: Controls, files: NamedFiles, faults: list[str]
) -> Iterator[SourceClip]:
    """Yield a clip for each answered task; `tasks` have their places, such as ``task 7``.

    `controls` are those of the whole export.

    A task whose recording is missing, or is that of another task, is a sentence in `faults`.
    """
    found = dict[str, str]()
    for place, task in tasks:
        said = [_answer(one, task, controls, place) for one in chosen_annotations(task)]
        answers = [answer for answer in said if answer.given]
        if not answers:
            continue
        audio = _located(recording_address(task, place), files)
        if isinstance(audio, str):
            faults.append(f"{place}: {audio}")
            continue
        name = files.name(audio)
        if name in found:
            faults.append(f"{place} and {found[name]} are about one recording, {name}; keep one")
            continue
        found[name] = place
        yield _clip(name, audio, answers, place)


def unlabelled_tasks(tasks: Iterable[tuple[str, Task]], controls: Controls) -> list[str]:
    """Return a sentence on the tasks that nobody has answered; none if there is no such task."""
    skipped, empty, total = list[str](), list[str](), 0
    for place, task in tasks:
        total += 1
        made = [one for one in task["annotations"] if not one.get("was_cancelled")]
        if task["annotations"] and not made:
            skipped.append(place)
        elif not has_regions(task) and not any(
            _answer(one, task, controls, place).given for one in chosen_annotations(task)
        ):
            empty.append(place)
    if not skipped and not empty:
        return []
    what = [f"{len(skipped)} skipped (such as {skipped[0]})"] if skipped else []
    what += [f"{len(empty)} without an answer (such as {empty[0]})"] if empty else []
    return [f"{len(skipped) + len(empty)} of {count(total, 'task')} left out: {' and '.join(what)}"]


def _answer(annotation: Mapping[str, Any], task: Task, controls: Controls, place: str) -> TaskAnswer:
    given: dict[str, dict[str, list[str]]] = {"textarea": {}, "choices": {}}
    for result in annotation["result"]:
        kind, value = str(result.get("type", "")), result["value"]
        if kind not in given or "start" in value:
            continue
        words = value.get("text" if kind == "textarea" else "choices")
        parts = [one for one in (words if isinstance(words, list) else [words]) if one is not None]
        if strange := [one for one in parts if not isinstance(one, str)]:
            raise IntakeError(f"{place} has {strange[0]!r} as an answer, expected text; export it again")
        given[kind].setdefault(str(result["from_name"]), []).extend(parts)
    speakers = [words for kind in given.values() if (words := kind.pop(_SPEAKER, None))]
    named = speakers[0] if speakers else [task["data"].get(_SPEAKER) or ""]
    texts, labels = (_control(given[kind], kind, controls[kind], place) for kind in ("textarea", "choices"))
    text = " ".join(" ".join(texts).split())
    return TaskAnswer(text, labels[0].strip() if labels else "", str(named[0]).strip(), len(labels), bool(speakers))


def _control(answers: Mapping[str, list[str]], kind: str, controls: frozenset[str], place: str) -> list[str]:
    """Return the answer of the control that has the transcript, or the class; `controls` are those of the export."""
    if _USUAL[kind] in controls:
        return answers.get(_USUAL[kind], [])
    if len(controls) > 1 and any(word.strip() for words in answers.values() for word in words):
        names = ", ".join(sorted(controls))
        raise IntakeError(
            f"{place} has an answer, and the export has several controls ({names}); name the one that counts "
            f"{_USUAL[kind]!r}"
        )
    return next(iter(answers.values()), [])


def _located(address: str, files: NamedFiles) -> Path | str:
    """Return the file at an address: the longest end of its path that names a file, or why there is none."""
    parts = [part for part in address.split("/") if part not in ("", ".", "..")]
    names = ["/".join(parts[start:]) for start in range(len(parts))]
    if plain := uploaded_name(parts[-1]):
        names.append(plain)
    found = [files.find(name) for name in names]
    return next((one for one in found if isinstance(one, Path)), found[-1])


def _clip(name: str, audio: Path, answers: Sequence[TaskAnswer], place: str) -> SourceClip:
    first, fault = answers[0], None
    if broken := next((one for one in answers if undecodable(one.speaker + one.label)), None):
        fault = ClipFault("not_utf8", f"{place}: {broken.speaker or broken.label!r} is not UTF-8; correct it")
    elif any(one != first for one in answers):
        said = " and ".join(dict.fromkeys(repr(one.text or one.label or one.speaker) for one in answers))
        fault = ClipFault("annotators_disagree", f"{place} has {said}; correct one, or mark one as the ground truth")
    elif first.labels > 1:
        fault = ClipFault("several_labels", f"{place} has {first.labels} classes, expected one")
    return SourceClip(name, audio, text=first.text, label=first.label, speaker=first.speaker, fault=fault)

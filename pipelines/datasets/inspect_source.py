"""Say what a source is, what intake would do with it, and the `elp data add` line to use: `--dry-run` that finds out.

Nothing is stored, and no workspace is needed: without one, the default settings are those of the plan.
"""

import shlex
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from elp_core.languages import LanguageConfig
from pipelines.datasets.delivery import SourceClip, delivery_options
from pipelines.datasets.delivery_plan import IntakePlan, plan_delivery
from pipelines.datasets.likely_language import likely_languages
from pipelines.datasets.source_shape import Reading, SourceShape, find_shape
from pipelines.datasets.staging import Progress
from pipelines.errors import IntakeError
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

_SITE = "SITE"
"""In the line, for a slot that is not named."""
_TEXTS = 500
"""Transcripts that show the language."""


@dataclass(frozen=True)
class DeliveryLine:
    """A command that takes the source in."""

    command: str
    meaning: str
    """What it takes for granted, if there is another one."""


@dataclass(frozen=True)
class Inspection:
    """What a source is, and what to do with it."""

    source: str
    format: str
    """Name of the format; empty if none reads it."""
    findings: tuple[str, ...] = ()
    problem: str = ""
    """Why it cannot be taken in as it is, with the next step; empty if it can."""
    faults: tuple[str, ...] = ()
    """What is wrong with single lines and files."""
    clips: int = 0
    texts: int = 0
    """Clips with a transcript."""
    speakers: Mapping[str, int] = field(default_factory=dict)
    """Clips by speaker."""
    labels: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    """Clips by the language that the source names."""
    likely_languages: tuple[str, ...] = ()
    """Codes of the languages that the transcripts may be in, the most likely first."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The probable column of path, text, speaker and label of a table."""
    settings: tuple[str, ...] = ()
    """What to set in `elp.yaml` first."""
    lines: tuple[DeliveryLine, ...] = ()
    plan: IntakePlan | None = None
    """What the first line would bring."""


def inspect_source(
    source: Path,
    slot: Slot | None = None,
    workspace: Workspace | None = None,
    importer: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Look at a source as a delivery for `slot` (None: for any task that its clips are good for).

    Options and errors are those of `add_delivery`, but a source that cannot be read raises nothing:
    `Inspection.problem` says why, and what to do.
    """
    given = {key: value for key, value in (options or {}).items() if value}
    chosen = delivery_options(given)
    found = Inspection(source.name, importer or "")
    try:
        shape = find_shape(source, importer, chosen.format_options)
        found = Inspection(source.name, shape.importer.name if shape.importer else "", shape.findings, shape.problem)
        if shape.table:
            found = replace(found, columns=shape.table.guess)
        if shape.problem or shape.importer is None:
            return found
        reading = next((one for one in shape.readings if slot and slot.task in one.tasks), shape.readings[0])
        found = _described(found, shape.importer.read(shape.source, **reading.options))
    except IntakeError as error:
        # the message lists the faults as well
        problem = str(error).partition("\n")[0]
        return replace(found, problem=problem, faults=error.faults)
    tasks = [slot.task] if slot else reading.tasks or _tasks(found)
    if not tasks:
        return replace(found, problem=_nothing_to_learn(shape))
    return _planned(found, shape, reading, tasks[0], slot, workspace, given, importer, progress)


def _described(found: Inspection, clips: Iterable[SourceClip]) -> Inspection:
    """Count what clips say; they are not held, because some carry their sound."""
    speakers, labels, languages = Counter[str](), Counter[str](), Counter[str]()
    count, spoken, texts = 0, 0, list[str]()
    for clip in clips:
        count, spoken = count + 1, spoken + bool(clip.text.strip())
        texts += [clip.text] if len(texts) < _TEXTS else []
        for counts, name in ((speakers, clip.speaker), (labels, clip.label), (languages, clip.language)):
            counts.update([name] if name else [])
    return replace(
        found,
        clips=count,
        texts=spoken,
        speakers=dict(sorted(speakers.items())),
        labels=dict(sorted(labels.items())),
        languages=dict(languages.most_common()),
        likely_languages=tuple(likely_languages(texts)),
    )


def _tasks(found: Inspection) -> list[str]:
    """Return the tasks that clips are good for, the most likely first."""
    tasks = [*(["asr"] if found.texts else []), *(["sic", "ser"] if len(found.labels) > 1 else [])]
    return tasks or (["asv"] if len(found.speakers) > 1 else [])


def _nothing_to_learn(shape: SourceShape) -> str:
    if shape.table:
        return (
            f"its columns are {', '.join(shape.table.columns)}, and none has transcripts, speakers or labels; name it "
            "with --columns text=COLUMN,speaker=COLUMN,label=COLUMN"
        )
    return (
        "its recordings have no transcripts, speakers or labels: put a .txt file next to each, or write a CSV with the "
        "columns path, text and speaker"
    )


def _planned(
    found: Inspection,
    shape: SourceShape,
    reading: Reading,
    task: str,
    slot: Slot | None,
    workspace: Workspace | None,
    given: Mapping[str, Any],
    importer: str | None,
    progress: Progress | None,
) -> Inspection:
    """Plan the delivery, with the channels and the language that it turns out to need."""
    assert shape.importer is not None
    target, form = slot or Slot("inspected-source", task), shape.importer.name
    options = {**given, "format_options": dict(reading.options)}
    with tempfile.TemporaryDirectory(prefix="elp-inspect-") as folder:
        place = workspace or Workspace(Path(folder), Settings())
        fresh = workspace is None or slot is None
        place, settings = _in_its_language(place, target, slot, found)

        def plan() -> IntakePlan:
            return plan_delivery(place, target, shape.source, form, options, progress, fresh=fresh)

        try:
            planned = plan()
            if "channels_differ" in planned.quarantine and "channel" not in options:
                options["channel"] = "each"
                planned = plan()
        except IntakeError as error:
            return replace(found, problem=str(error).partition("\n")[0], faults=error.faults)
    named = shape.named or importer is not None
    lines = [
        DeliveryLine(_line(shape, one, str(slot or f"{_SITE}/{name}"), options, named=named), one.meaning)
        for one in ([reading] if slot else shape.readings)
        for name in ([task] if slot else one.tasks or _tasks(found))
    ]
    if "channel" in options and "channel" not in given:
        why = "the channels of some files differ: --channel each takes each of them, with its own speaker"
        found = replace(found, findings=(*found.findings, why))
    # a slot that is not named has no name in the sentences either
    needs = tuple(text.replace(str(target), str(slot or f"{_SITE}/{task}")) for text in planned.needs)
    refused = tuple(text.replace(str(target), str(slot or f"{_SITE}/{task}")) for text in planned.refused)
    planned = replace(planned, needs=needs, refused=refused)
    return replace(found, settings=settings, lines=tuple(lines), plan=planned)


def _in_its_language(
    workspace: Workspace, target: Slot, slot: Slot | None, found: Inspection
) -> tuple[Workspace, tuple[str, ...]]:
    """Return the workspace with the likely language of the transcripts, and the setting that declares it.

    A slot that declares another language than English keeps it.
    """
    declared = workspace.settings.for_slot(target).language
    likely = found.likely_languages
    if "text" not in target.task_spec.needs or declared != LanguageConfig() or not likely or likely[0] == "en":
        return workspace, ()
    settings = replace(workspace.settings, language=likely[0])
    also = f"   # or {', '.join(likely[1:4])}" if len(likely) > 1 else ""
    name = str(slot) if slot else f"{_SITE}/{target.task}"
    return replace(workspace, settings=settings), (f"slots: {{{name}: {{language: {likely[0]}}}}}{also}",)


def _line(shape: SourceShape, reading: Reading, slot: str, options: Mapping[str, Any], *, named: bool) -> str:
    """Return the command that takes a source in."""
    assert shape.importer is not None
    words = ["elp", "data", "add", slot, str(shape.source)]
    if named:
        words += ["--format", shape.importer.name]
    for name, value in reading.options.items():
        words += [f"--{name}", value] if name in ("columns", "encoding", "root") else ["--option", f"{name}={value}"]
    for name, value in options.items():
        # one option can be given several times
        for one in value if isinstance(value, tuple | list) else (value,):
            words += [f"--{name}", str(one)] if name != "format_options" else []
    return shlex.join(words)

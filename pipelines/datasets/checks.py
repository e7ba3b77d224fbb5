"""Decide what is good enough: each clip by the task's rules, the delivery as a whole by the slot's policy."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from elp_core.data.extra_columns import EXTRA_TEXTS
from elp_core.frame_rate import frame_rate
from elp_core.groups import GROUP
from elp_core.languages import LanguageConfig
from pipelines.datasets.clip_rules import UNDECLARED, Rule, rules_for, text_columns
from pipelines.datasets.delivery import ClipFault
from pipelines.datasets.expectations import Validate
from pipelines.datasets.group_rules import Declared, GroupCounts, coverage_rules, undeclared_groups, values_of
from pipelines.datasets.quarantine import count_reasons
from pipelines.datasets.shard_columns import read_columns
from pipelines.datasets.shard_totals import ShardTotals
from pipelines.datasets.validation_summary import RuleResult, ValidationSummary
from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    import pandas as pd

VOCABULARY_SHARE = 0.05
"""With a larger share of transcripts outside the alphabet, the delivery's spelling is wrong, not single clips."""
_SHOWN = 5


@dataclass(frozen=True)
class CheckedClips:
    """Outcome of the rules on a delivery's readable clips."""

    faults: Mapping[str, ClipFault]
    """By clip id: the first rule that the clip broke; of a clip that the alignment withholds, the reason for that."""
    summary: ValidationSummary


def check_clips(
    parts: Sequence[Path],
    workspace: Workspace,
    slot: Slot,
    delivery: str,
    validate: Validate,
    docs: Path | None = None,
    rare: Collection[str] = (),
    groups: GroupCounts | None = None,
) -> CheckedClips:
    """Check every clip of the staged parts by the slot's rules, and write the Data Docs page (to `docs` if given).

    A training clip whose transcript has a letter of `rare` breaks the rule on rare letters. `groups` counts the slot's
    stored clips by group: the page marks those that are new.
    """
    settings = workspace.settings.for_slot(slot)
    language = settings.language
    rules = rules_for(slot.task, settings.data, language, frame_rate(workspace.settings.backbone_of(slot)))
    place = (docs_folder(workspace, slot) / "index.html").relative_to(workspace.root).as_posix()
    docs = docs or docs_folder(workspace, slot)
    if not parts:
        return CheckedClips({}, ValidationSummary(delivery=delivery, docs=place))
    frame, declared = _frame(parts, language, rare), settings.data.groups
    counted = _add_groups(frame, parts, declared, groups or {})
    broken = validate(frame, (*rules, *counted), f"{slot.site}-{slot.task}", delivery, docs)[: len(rules)]
    faults: dict[str, ClipFault] = {}
    values = frame.set_index("id")
    # the order of the rules decides which fault of a clip is reported
    for rule, ids in zip(rules, broken, strict=True):
        for clip_id in ids:
            if clip_id not in faults:
                faults[clip_id] = _fault(rule, values.at[clip_id, rule.column], values.at[clip_id, "text"], language)
    results = tuple(RuleResult(rule.reason, rule.expects, len(ids)) for rule, ids in zip(rules, broken, strict=True))
    return CheckedClips(faults, ValidationSummary(len(frame), len(faults), results, delivery, place))


def docs_folder(workspace: Workspace, slot: Slot) -> Path:
    """Return the folder of the slot's Data Docs."""
    return workspace.state / "data-docs" / slot.site / slot.task


def require_good_set(
    workspace: Workspace,
    slot: Slot,
    totals: ShardTotals,
    *,
    delivered: int,
    quarantined: Sequence[ClipFault],
    conflicts: Sequence[str] = (),
    step: str = "the delivery",
) -> None:
    """Check a delivery and the slot's data as a whole by the slot's policy; DataRefused lists all that failed.

    The arguments are those of `set_faults`; `step` names what is refused then.
    """
    faults = set_faults(workspace, slot, totals, delivered=delivered, quarantined=quarantined, conflicts=conflicts)
    if faults:
        raise DataRefused(str(slot), faults, step)


def set_faults(
    workspace: Workspace,
    slot: Slot,
    totals: ShardTotals,
    *,
    delivered: int,
    quarantined: Sequence[ClipFault],
    conflicts: Sequence[str] = (),
    allowed: Collection[str] = (),
) -> list[str]:
    """Return why a delivery makes the slot's data bad as a whole, as sentences; an empty list means that it is good.

    `totals` counts all the slot's data with the new clips; of the `delivered` clips, those with the faults
    `quarantined` go to quarantine; `conflicts` are sentences on sounds that were delivered twice with different words;
    `allowed` are the kinds of fault whose clips go to quarantine instead (`--quarantine`).
    """
    policy, language = workspace.settings.for_slot(slot).data, workspace.settings.for_slot(slot).language
    faults = [f"duplicate content: {conflict}" for conflict in conflicts[:_SHOWN]]
    if len(conflicts) > _SHOWN:
        faults.append(f"duplicate content: … and {len(conflicts) - _SHOWN} more")
    if conflicts:
        faults[-1] += "; to take the others in without these, add --quarantine duplicates"
    if totals.shared and not policy.closed_set:
        faults.append(
            f"leakage: {count(len(totals.shared), 'speaker')} in more than one split ({_some(totals.shared)}); give "
            "each speaker one split, or declare the speakers a closed set in elp.yaml: "
            f"slots: {{{slot}: {{data: {{closed_set: true}}}}}}"
        )
    if len(quarantined) < delivered:
        faults += _speaker_faults(slot, policy.min_speakers, totals.speakers)
        faults += _class_faults(totals.classes) if "label" in slot.task_spec.needs else []
    foreign = [fault for fault in quarantined if fault.reason == "outside_alphabet"]
    # in a small delivery, two misspelt transcripts are already a large share
    if len(foreign) > max(2, VOCABULARY_SHARE * delivered) and "vocabulary" not in allowed:
        faults.append(
            f"vocabulary: {len(foreign)} of {delivered} transcripts have characters outside the alphabet of "
            f"{language.resolve().name}; {_spelling(slot, language)}; to take the others in without these, add "
            f"--quarantine vocabulary; the first: {foreign[0].detail}"
        )
    if delivered and len(quarantined) > policy.max_quarantined * delivered:
        share = math.ceil(100 * len(quarantined) / delivered) / 100
        setting = (
            f"to take the others in, set slots: {{{slot}: {{data: {{max_quarantined: {share:g}}}}}}} in elp.yaml; "
        )
        counted = ", ".join(f"{number} {reason}" for reason, number in count_reasons(quarantined).items())
        faults.append(
            f"quarantine: {len(quarantined)} of {delivered} clips are unusable ({counted}), the limit is "
            f"{policy.max_quarantined:.0%} (data.max_quarantined); see all with: elp data quarantine {slot}; "
            f"{setting if share < 1 else ''}the first: {quarantined[0].detail}"
        )
    return faults


def _spelling(slot: Slot, language: LanguageConfig) -> str:
    """Return what to do about transcripts that the language does not write."""
    spell = " or set digits: spell" if language.resolve().spells and language.digits != "spell" else ""
    return (
        f"write them out (such as digits as words){spell}, or, if the recordings are in another language, declare it "
        f"in elp.yaml: slots: {{{slot}: {{language: CODE}}}}"
    )


def _speaker_faults(slot: Slot, minimum: int, speakers: int) -> list[str]:
    needed = "speaker" in slot.task_spec.needs
    least = max(minimum, 2) if needed else minimum
    # if no clip names a speaker and the task needs none, their number is unknown
    if speakers >= least or not (speakers or needed):
        return []
    return [f"too few speakers: {speakers}, expected {least} or more; add recordings of other speakers"]


def _class_faults(classes: Mapping[str, Collection[str]]) -> list[str]:
    """A classifier learns the classes of its training clips only; before the first training clip, all is allowed."""
    trained = set(classes.get("train", ()))
    if len(trained) == 1:
        return [f"too few classes: 1 in the training split ({trained.pop()}), expected 2 or more; add clips of others"]
    faults = []
    for split in sorted(classes.keys() - {"train"}) if trained else ():
        if unknown := sorted(set(classes[split]) - trained):
            faults.append(
                f"classes of the {split} split without a training clip: {len(unknown)} ({_some(unknown)}); "
                "add training clips of them, or correct the labels"
            )
    return faults


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def _frame(parts: Sequence[Path], language: LanguageConfig, rare: Collection[str]) -> pd.DataFrame:
    """Return the rows of the parts without the audio; empty text is None, and the columns of `text_columns` are new."""
    # not those that only some shards have
    names = [name for name in pq.read_schema(parts[0]).names if name not in ("audio", *EXTRA_TEXTS)]
    tables = [pq.read_table(part, columns=names).replace_schema_metadata(None) for part in parts]
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    for name, column in text_columns(frame, language, rare).items():
        frame[name] = column
    for name in ("text", "speaker", "label", "condition"):
        frame[name] = frame[name].astype(object).where(frame[name] != "", None)
    return frame


def _add_groups(
    frame: pd.DataFrame, parts: Sequence[Path], declared: Declared, stored: GroupCounts
) -> tuple[Rule, ...]:
    """Add the columns of the rules on groups; return the rules that show their coverage."""
    texts = [text for part in parts for text in read_columns(part, ["id", GROUP])[GROUP].to_pylist()]
    rules = coverage_rules(texts, declared, stored)
    for rule in rules:
        frame[rule.column] = values_of(texts, rule.column)
    frame[UNDECLARED] = undeclared_groups(texts, declared)
    return rules


def _fault(rule: Rule, value: Any, text: Any, language: LanguageConfig) -> ClipFault:
    if rule.reason == "outside_alphabet":
        unknown = " ".join(sorted(language.resolve().foreign(str(text), language.digits)))
        return ClipFault(rule.reason, f"{text!r} has {unknown}, not in the alphabet")
    if rule.reason == "rare_letter":
        least = f"in fewer than {language.min_count} places of the training transcripts"
        return ClipFault(rule.reason, f"{text!r} has {value}, {least} (language.min_count)")
    if rule.column == UNDECLARED:
        return ClipFault(rule.reason, f"group has {value}, which data.groups does not declare")
    if rule.kind == "present":
        return ClipFault(rule.reason, f"{rule.column} is empty, expected one")
    shown = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return ClipFault(rule.reason, f"{rule.column} is {shown}, expected {rule.expects}")

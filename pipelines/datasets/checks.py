"""What is good enough: each clip by the task's rules, the delivery as a whole by the slot's policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from elp_core.data.text import Alphabet
from pipelines.datasets.clip_rules import rules_for
from pipelines.datasets.expectations import Judgement, judge
from pipelines.datasets.quarantine import reasons
from pipelines.datasets.source_clip import Fault
from pipelines.local.workspace import Workspace
from pipelines.registry.policies import DataPolicy
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    import pandas as pd

VOCABULARY_SHARE = 0.05
"""Share of transcripts outside the alphabet from which it is the alphabet, not the clip, that does not fit."""
_SHOWN = 5


@dataclass(frozen=True)
class Checked:
    """Outcome of the rules on a delivery's readable clips."""

    faults: Mapping[str, Fault]
    """By clip id: the first rule it broke."""
    summary: Mapping[str, Any]
    """For the record: clips evaluated and failed, each rule with how many clips broke it, delivery and Data Docs."""


def check_clips(parts: Sequence[Path], workspace: Workspace, slot: Slot, delivery: str) -> Checked:
    """Judge every clip of the staged parts by the slot's policy, and write its Data Docs page."""
    rules, docs = rules_for(slot.task, workspace.settings.for_slot(slot).data), docs_folder(workspace, slot)
    place = (docs / "index.html").relative_to(workspace.root).as_posix()
    about = {"delivery": delivery, "docs": place}
    if not parts:
        return Checked({}, {"evaluated": 0, "failed": 0, "rules": [], **about})
    frame = _frame(parts)
    judgements = judge(frame, rules, f"{slot.site}-{slot.task}", delivery, docs)
    faults: dict[str, Fault] = {}
    values = frame.set_index("id")
    for judgement in judgements:
        for clip_id in judgement.broken:
            if clip_id not in faults:
                faults[clip_id] = _fault(judgement, values.at[clip_id, judgement.rule.column])
    rows = [{"reason": one.rule.reason, "expects": one.rule.expects, "broken": len(one.broken)} for one in judgements]
    return Checked(faults, {"evaluated": len(frame), "failed": len(faults), "rules": rows, **about})


def docs_folder(workspace: Workspace, slot: Slot) -> Path:
    """Where the slot's Data Docs lie."""
    return workspace.state / "data-docs" / slot.site / slot.task


def set_faults(
    slot: Slot,
    policy: DataPolicy,
    *,
    delivered: int,
    quarantined: Sequence[Fault],
    conflicts: Sequence[str],
    speakers: int,
    shared: Sequence[str],
    classes: Mapping[str, Collection[str]],
) -> list[str]:
    """What is wrong with the delivery and the slot's data as a whole, one sentence each; empty when good.

    Args:
        slot: the slot.
        policy: its limits.
        delivered: clips in the delivery.
        quarantined: those of them that are to go to quarantine.
        conflicts: sentences on sounds that came twice with different words.
        speakers: known speakers in all the slot's data, the new included.
        shared: speakers that occur in more than one split of it.
        classes: labels of each split of it.
    """
    faults = [f"duplicate content: {conflict}" for conflict in conflicts[:_SHOWN]]
    if len(conflicts) > _SHOWN:
        faults.append(f"duplicate content: … and {len(conflicts) - _SHOWN} more")
    if shared and not policy.closed_set:
        names = ", ".join(shared[:_SHOWN]) + (" …" if len(shared) > _SHOWN else "")
        faults.append(
            f"leakage: {len(shared)} speaker(s) are in more than one split ({names}); give each speaker one split, or "
            f"say that the speakers are a closed set in elp.yaml: slots: {{{slot}: {{data: {{closed_set: true}}}}}}"
        )
    needed = "speaker" in slot.task_spec.needs
    least = max(policy.min_speakers, 2) if needed else policy.min_speakers
    # other speech may come without any name of a speaker; then nothing can be said about their number
    if speakers < least and (speakers or needed) and len(quarantined) < delivered:
        faults.append(f"too few speakers: {speakers}, expected {least} or more; add recordings of others")
    if "label" in slot.task_spec.needs and len(quarantined) < delivered:
        faults.extend(_class_faults(classes))
    foreign = [fault for fault in quarantined if fault.reason == "outside_alphabet"]
    if len(foreign) > max(2, VOCABULARY_SHARE * delivered):
        faults.append(
            f"vocabulary: {len(foreign)} of {delivered} transcripts have characters outside the alphabet; "
            f"write them out (such as digits as words); the first: {foreign[0].detail}"
        )
    if delivered and len(quarantined) > policy.max_quarantined * delivered:
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons(quarantined).items())
        faults.append(
            f"quarantine: {len(quarantined)} of {delivered} clips are unusable ({counted}), the limit is "
            f"{policy.max_quarantined:.0%} (data.max_quarantined); the first: {quarantined[0].detail}"
        )
    return faults


def _class_faults(classes: Mapping[str, Collection[str]]) -> list[str]:
    """A classifier learns the classes of its training clips, and no others; until these come, nothing can be said."""
    heard = set(classes.get("train", ()))
    if len(heard) == 1:
        return [f"too few classes: 1 in the training split ({heard.pop()}), expected 2 or more; add clips of others"]
    faults = []
    for split in sorted(classes.keys() - {"train"}) if heard else ():
        unheard = sorted(set(classes[split]) - heard)
        if unheard:
            names = ", ".join(unheard[:_SHOWN]) + (" …" if len(unheard) > _SHOWN else "")
            faults.append(
                f"classes: {len(unheard)} of the {split} split are in no training clip ({names}); "
                "add training clips of them, or mend the labels"
            )
    return faults


def _frame(parts: Sequence[Path]) -> pd.DataFrame:
    """Rows of the parts without the audio; empty text is None, and letters per second are worked out."""
    names = [name for name in pq.read_schema(parts[0]).names if name != "audio"]
    tables = [pq.read_table(part, columns=names).replace_schema_metadata(None) for part in parts]
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    frame["letters_per_second"] = frame["text"].str.len().astype(float) / frame["duration"]
    for name in ("text", "speaker", "label", "condition"):
        frame[name] = frame[name].astype(object).where(frame[name] != "", None)
    return frame


def _fault(judgement: Judgement, value: Any) -> Fault:
    rule = judgement.rule
    if rule.reason == "outside_alphabet":
        return Fault(
            rule.reason, f"{value!r} has {' '.join(sorted(Alphabet().unknown(str(value))))}, not in the alphabet"
        )
    if rule.kind == "present":
        return Fault(rule.reason, f"{rule.column} is empty, expected one")
    shown = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return Fault(rule.reason, f"{rule.column} is {shown}, expected {rule.expects}")

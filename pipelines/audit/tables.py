"""An answer as headed tables: what the command line prints and what the HTML page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.audit.champion_periods import ChampionsAt, OnBackbone
from pipelines.audit.erasure import Plan
from pipelines.audit.facts import Fact
from pipelines.audit.learned import ChampionPeriod, Held, Learned, Learner
from pipelines.number_text import count


@dataclass(frozen=True)
class Section:
    """A table under a heading, or a list of sentences where it has no head."""

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    empty: str = "none"
    """What is said where there are no rows."""


@dataclass(frozen=True)
class Sheet:
    """An answer for people: a title, what it comes to, and the tables behind it."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...] = ()
    tree: Fact | None = None


def of_champions(found: ChampionsAt) -> Sheet:
    """``--at``."""
    rows = tuple((one.slot, _name(one.version), *_reign(one.reign), one.bundle) for one in found.champions)
    serving = sum(one.version is not None for one in found.champions)
    lead = f"{count(serving, 'slot')} of {len(found.champions)} had a champion at {short(found.at)}, by the ledger."
    head = ("slot", "champion", "since (UTC)", "until (UTC)", "event", "by", "why", "bundle")
    return Sheet(f"Champions at {short(found.at)}", (lead,), (Section("Champions", head, rows),))


def of_backbone(found: OnBackbone) -> Sheet:
    """``--backbone``."""
    rows = tuple(
        (one.slot, _name(one.version), one.status, one.dataset, short(one.registered), one.bundle)
        for one in found.adapters
    )
    serving = sum(one.status == "champion" for one in found.adapters)
    slots = len({one.slot for one in found.adapters})
    lead = (
        f"{count(len(rows), 'adapter')} of {count(slots, 'slot')} on {' or '.join(found.names)}; {serving} serve now."
    )
    head = ("slot", "version", "status", "dataset", "registered (UTC)", "bundle")
    return Sheet(f"Adapters on the backbone {found.fingerprint}", (lead,), (Section("Adapters", head, rows),))


def of_learned(found: Learned) -> Sheet:
    """``--speaker`` and ``--clip``."""
    where = str(found.slot) if found.slot else "all slots"
    counts = {kind: [one for one in found.held if one.kind == kind] for kind in ("data", "golden", "quarantine")}
    lead = [
        f"{count(found.clips, 'recording')} in {where}: {count(len(counts['data']), 'dataset version')} and "
        f"{count(len(counts['golden']), 'golden set')} hold them; {count(len(found.adapters), 'adapter')} learned "
        f"from them, {len(found.champions)} of which serve now."
    ]
    if found.subject.clip and found.speakers:
        lead.append(f"Speaker: {', '.join(found.speakers)}.")
    if found.subject.speaker and not found.slot and len({one.slot for one in found.held}) > 1:
        lead.append("Other slots may mean another person by the same name: ask with SITE/TASK to see one slot alone.")
    if found.unknown:
        lead.append(f"Of {count(len(found.unknown), 'adapter')} it cannot be told; they are listed with the reason.")
    sections = [
        Section("Adapters that learned from them", _LEARNER, tuple(map(learner_row, found.adapters))),
        Section(
            "Dataset versions", ("version", "clips", "train", "validation", "test", "training uses"), _data(counts)
        ),
        Section("Golden sets (judged on, not learned from)", ("version", "clips"), _plain(counts["golden"])),
    ]
    if counts["quarantine"]:
        sections.append(
            Section("In quarantine (never learned from)", ("dataset version", "files"), _plain(counts["quarantine"]))
        )
    if found.unknown:
        rows = tuple((one.slot, _name(one.version), one.status, one.note) for one in found.unknown)
        sections.append(Section("Adapters of which it cannot be told", ("slot", "version", "status", "why"), rows))
    return Sheet(f"Who learned from {found.subject}", tuple(lead), tuple(sections))


def learner_row(one: Learner) -> tuple[Any, ...]:
    """A row for an adapter that learned."""
    serving = "; ".join(
        f"{short(reign.since)} … {short(reign.until) if reign.until else 'now'}" for reign in one.reigns
    )
    exact = "yes" if one.certain else one.note
    return one.slot, _name(one.version), one.status, one.clips, one.dataset, serving, exact


def short(moment: str) -> str:
    """A UTC moment to the second, without its offset."""
    return moment.replace("T", " ").split("+")[0].split(".")[0]


_LEARNER = ("slot", "version", "status", "clips", "dataset", "champion (UTC)", "exact")


def _data(counts: dict[str, list[Held]]) -> tuple[tuple[Any, ...], ...]:
    splits = ("train", "validation", "test")
    return tuple(
        (one.tag, one.clips, *(one.splits.get(split, 0) for split in splits), one.learnable) for one in counts["data"]
    )


def _plain(held: Sequence[Held]) -> tuple[tuple[Any, ...], ...]:
    return tuple((one.tag, one.clips) for one in held)


def _reign(reign: ChampionPeriod | None) -> tuple[str, str, str, str, str]:
    if reign is None:
        return "", "", "", "", ""
    until = short(reign.until) if reign.until else "now"
    return short(reign.since), until, reign.event, reign.who, reign.reason


def _name(version: int | None) -> str:
    return f"v{version}" if version is not None else "none"


def of_plan(found: Plan) -> Sheet:
    """``elp erasure plan``."""
    learned = of_learned(found.found)
    sections = []
    for slot in found.slots:
        rows = tuple((step.what, "\n".join(step.commands)) for step in slot.steps)
        sections.append(Section(f"{slot.slot}, in this order", ("what", "commands"), rows, "nothing to do"))
    rows = tuple((step.what, "\n".join(step.commands)) for step in found.after)
    sections.append(Section("When every slot is done", ("what", "commands"), rows, "nothing to do"))
    files = tuple(
        (one.place, one.clips, ", ".join(one.versions), "yes" if one.current else "no") for one in found.files
    )
    sections.append(Section("Files of the DVC remote that hold them", ("file", "clips", "versions", "in use"), files))
    sections.append(Section("What stays, and where", (), tuple((sentence,) for sentence in found.stays)))
    lead = ("Nothing has been done yet.", *learned.lead)
    return Sheet(f"To forget {found.found.subject}", lead, (*sections, *learned.sections))


def of_tree(tree: Fact, verified: bool) -> Sheet:
    """One adapter, or the registry."""
    wrong, open_ones = len(tree.mismatches), len(tree.unchecked)
    if not verified:
        lead = "From the records; nothing was computed again (that is --verify)."
    elif wrong:
        lead = f"{count(wrong, 'thing')} found otherwise than recorded; {open_ones} could not be verified."
    else:
        lead = f"Everything that could be computed again is as recorded; {open_ones} could not be verified."
    return Sheet(f"Audit of {tree.value}", (lead,), tree=tree)

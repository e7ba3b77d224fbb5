"""An answer as headed tables, which the command line prints, and as one HTML page."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.audit.champion_periods import ChampionsAt, OnBackbone
from pipelines.audit.erasure_plan import ErasurePlan, Step
from pipelines.audit.facts import Fact
from pipelines.audit.trained_on import TrainedAdapter, TrainedOn
from pipelines.html_report import render_page
from pipelines.number_text import count
from pipelines.texts.message_catalogue import texts

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Table:
    """A table under a heading, or a list of sentences if it has no head."""

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    empty: str = "none"
    """The text if there are no rows."""


@dataclass(frozen=True)
class AuditAnswer:
    """An answer for people: a title, a summary, and the tables or the tree behind it."""

    title: str
    lead: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    tree: Fact | None = None


def answer_page(answer: AuditAnswer, source: str) -> str:
    """Return one self-contained, printable page without scripts; `source` is the address of the server."""
    return render_page(
        Path(__file__).with_name("html_page.html"),
        texts("en"),
        "",
        answer=answer,
        failed=answer.tree.failed if answer.tree else (),
        made=datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
        program=f"elp-foundry {metadata.version('elp-foundry')}",
        source=source,
    )


def champions_answer(found: ChampionsAt) -> AuditAnswer:
    """Return the answer to ``--at``."""
    rows = []
    for one in found.champions:
        period = one.champion_period
        cells = (short(period.since), _until(period.until), period.event, period.by, period.reason) if period else ()
        rows.append((one.slot, _version(one.version), *(cells or ("",) * 5), one.bundle))
    serving = sum(one.version is not None for one in found.champions)
    lead = f"{count(serving, 'slot')} of {len(rows)} had a champion at {short(found.at)}, by the ledger."
    head = ("slot", "champion", "since (UTC)", "until (UTC)", "event", "by", "reason", "bundle")
    return AuditAnswer(f"Champions at {short(found.at)}", (lead,), (Table("Champions", head, tuple(rows)),))


def backbone_answer(found: OnBackbone) -> AuditAnswer:
    """Return the answer to ``--backbone``."""
    rows = tuple(
        (one.slot, _version(one.version), one.status, one.dataset, short(one.registered), one.bundle)
        for one in found.adapters
    )
    champions = sum(one.status == "champion" for one in found.adapters)
    slots = len({one.slot for one in found.adapters})
    lead = (
        f"{count(len(rows), 'adapter')} of {count(slots, 'slot')} on {' or '.join(found.names)}; champions among them: "
        f"{champions}."
    )
    head = ("slot", "version", "status", "dataset", "registered (UTC)", "bundle")
    return AuditAnswer(f"Adapters on the backbone {found.fingerprint}", (lead,), (Table("Adapters", head, rows),))


def trained_on_answer(found: TrainedOn) -> AuditAnswer:
    """Return the answer to ``--speaker`` and ``--clip``."""
    data = [one for one in found.holdings if one.kind == "data"]
    golden, quarantine = (
        tuple((one.tag, one.clips) for one in found.holdings if one.kind == kind) for kind in ("golden", "quarantine")
    )
    lead = [
        f"{count(found.clips, 'recording')} in {found.slot or 'all slots'}, held by "
        f"{count(len(data), 'dataset version')} and {count(len(golden), 'golden set')}. "
        f"{count(len(found.adapters), 'adapter')} trained on them; champions among them: {len(found.champions)}."
    ]
    if through := sum(not one.clips for one in found.adapters):
        lead.append(f"{count(through, 'adapter')} of these learned from them through other adapters only.")
    if found.subject.clip and found.speakers:
        lead.append(f"Speaker: {', '.join(found.speakers)}.")
    if found.subject.speaker and not found.slot and len({one.slot for one in found.holdings}) > 1:
        lead.append("Other slots may use the same name for another person: add SITE/TASK to see one slot alone.")
    if found.similar:
        names = ", ".join(f"{name!r} ({count(number, 'recording')})" for name, number in found.similar.items())
        lead.append(
            f"Not in this answer: {names}, which differ only by case, width, blanks or a channel's ending. "
            "If they are the same person, ask for each of these names, too."
        )
    if found.unknown:
        lead.append(f"The training data of {count(len(found.unknown), 'adapter')} is unknown; the reasons are listed.")
    head: tuple[str, ...] = ("slot", "version", "status", "clips", "dataset", "champion (UTC)", "exact")
    if any(one.chain for one in found.adapters):
        head = (*head, "learned from")
    versions = tuple(
        (one.tag, one.clips, *(one.splits.get(split, 0) for split in _SPLITS), one.learnable) for one in data
    )
    tables = [
        Table("Adapters trained on them", head, tuple(_trained_row(one)[: len(head)] for one in found.adapters)),
        Table("Dataset versions", ("version", "clips", *_SPLITS, "used in training"), versions),
        Table("Golden sets (used to judge, not to train)", ("version", "clips"), golden),
    ]
    if quarantine:
        title = "In quarantine (never used in training)"
        tables.append(Table(title, ("dataset version", "files"), quarantine))
    if found.unknown:
        rows = tuple((one.slot, _version(one.version), one.status, one.note) for one in found.unknown)
        tables.append(Table("Adapters with unknown training data", ("slot", "version", "status", "reason"), rows))
    return AuditAnswer(f"Trained on {found.subject}", tuple(lead), tuple(tables))


def erasure_answer(plan: ErasurePlan) -> AuditAnswer:
    """Return the answer of ``elp erasure plan``."""
    trained = trained_on_answer(plan.found)
    tables = [_steps(f"{slot.slot}, in this order", slot.steps) for slot in plan.slots]
    tables.append(_steps("When every slot is done", plan.after))
    files = tuple((one.place, one.clips, ", ".join(one.versions), "yes" if one.current else "no") for one in plan.files)
    tables.append(Table("Files of the DVC remote that hold them", ("file", "clips", "versions", "in use"), files))
    tables.append(Table("What stays, and where", (), tuple((sentence,) for sentence in plan.stays)))
    lead = ("Nothing has been done yet.", *trained.lead)
    return AuditAnswer(f"Erasure plan for {plan.found.subject}", lead, (*tables, *trained.tables))


def tree_answer(tree: Fact, verified: bool) -> AuditAnswer:
    """Return the answer about one adapter, or about the registry."""
    failed, open_ones = len(tree.failed), len(tree.not_verified)
    if not verified:
        lead = "From the records; nothing was verified (that is --verify)."
    elif failed:
        lead = f"{count(failed, 'fact')} failed verification; {open_ones} could not be verified."
    else:
        lead = f"Everything that could be computed again is as recorded; {open_ones} could not be verified."
    return AuditAnswer(f"Audit of {tree.value}", (lead,), tree=tree)


def short(moment: str) -> str:
    """Return a UTC moment to the second, without its offset."""
    return moment.replace("T", " ").split("+")[0].split(".")[0]


def _trained_row(one: TrainedAdapter) -> tuple[Any, ...]:
    periods = "; ".join(f"{short(period.since)} … {_until(period.until)}" for period in one.champion_periods)
    exact = "yes" if one.certain else one.note
    return one.slot, _version(one.version), one.status, one.clips, one.dataset, periods, exact, one.chain


def _steps(title: str, steps: Iterable[Step]) -> Table:
    rows = tuple((step.what, "\n".join(step.commands)) for step in steps)
    return Table(title, ("what", "commands"), rows, "nothing to do")


def _until(moment: str | None) -> str:
    return short(moment) if moment else "now"


def _version(version: int | None) -> str:
    return f"v{version}" if version is not None else "none"

"""An answer as headed tables, which the command line prints, and as one HTML page."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.audit.audit_phrases import adapters_text, slots_text
from pipelines.audit.champion_periods import ChampionsAt, OnBackbone
from pipelines.audit.erasure_plan import ErasurePlan
from pipelines.audit.facts import Fact
from pipelines.audit.replacement_steps import Step
from pipelines.audit.trained_on import TrainedAdapter, TrainedOn
from pipelines.html_report import language_pages, render_page
from pipelines.texts.english_phrases import Phrase, Recorded, phrase, phrase_many, said_phrase
from pipelines.texts.message_catalogue import Texts, texts

_SPLITS = ("train", "validation", "test")
_STATES = {
    "champion": phrase("champion"),
    "was champion": phrase("was champion"),
    "deleted": phrase("deleted"),
    "never champion": phrase("never champion"),
}
"""What an adapter is now, see `RegisteredAdapter.status`."""


@dataclass(frozen=True)
class Table:
    """A table under a heading, or a list of sentences if it has no head."""

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    empty: str = field(default_factory=lambda: phrase("none"))
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
    return _page(answer, source, _now(), "", texts("en"))


def answer_pages(answer: AuditAnswer, source: str, name: str) -> dict[str, str]:
    """Return the page in every language by the name of its file; `name` is that of the English one."""
    made = _now()
    return language_pages(name, lambda said: _page(answer, source, made, name, said))


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ", timespec="seconds")


def _page(answer: AuditAnswer, source: str, made: str, name: str, said: Texts) -> str:
    return render_page(
        Path(__file__).with_name("html_page.html"),
        said,
        name,
        {"worded": said_phrase, "is_phrase": lambda _said, text: isinstance(text, Phrase)},
        answer=answer,
        failed=answer.tree.failed if answer.tree else (),
        made=made,
        program=f"elp-foundry {metadata.version('elp-foundry')}",
        source=source,
    )


def champions_answer(found: ChampionsAt) -> AuditAnswer:
    """Return the answer to ``--at``."""
    rows = []
    for one in found.champions:
        period = one.champion_period
        cells = (
            (short(period.since), _until(period.until), Recorded(period.event), period.by, period.reason)
            if period
            else ()
        )
        rows.append((one.slot, _version(one.version), *(cells or ("",) * 5), one.bundle))
    serving = sum(one.version is not None for one in found.champions)
    lead = phrase(
        "%(slots)s of %(all)s had a champion at %(moment)s, by the ledger.",
        slots=slots_text(serving),
        all=len(rows),
        moment=short(found.at),
    )
    head = (
        phrase("slot"), phrase("champion"), phrase("since (UTC)"), phrase("until (UTC)"), phrase("event"),
        phrase("by"), phrase("reason"), phrase("bundle"),
    )  # fmt: skip
    title = phrase("Champions at %(moment)s", moment=short(found.at))
    return AuditAnswer(title, (lead,), (Table(phrase("Champions"), head, tuple(rows)),))


def backbone_answer(found: OnBackbone) -> AuditAnswer:
    """Return the answer to ``--backbone``."""
    rows = tuple(
        (one.slot, _version(one.version), _STATES[one.status], one.dataset, short(one.registered), one.bundle)
        for one in found.adapters
    )
    champions = sum(one.status == "champion" for one in found.adapters)
    slots = len({one.slot for one in found.adapters})
    lead = phrase(
        "%(adapters)s of %(slots)s on %(names)s; champions among them: %(champions)s.",
        adapters=adapters_text(len(rows)),
        slots=slots_text(slots),
        names=", ".join(found.names),
        champions=champions,
    )
    head = (
        phrase("slot"), phrase("version"), phrase("status"), phrase("dataset"), phrase("registered (UTC)"),
        phrase("bundle"),
    )  # fmt: skip
    title = phrase("Adapters on the backbone %(fingerprint)s", fingerprint=found.fingerprint)
    return AuditAnswer(title, (lead,), (Table(phrase("Adapters"), head, rows),))


def trained_on_answer(found: TrainedOn) -> AuditAnswer:
    """Return the answer to ``--speaker`` and ``--clip``."""
    data = [one for one in found.holdings if one.kind == "data"]
    golden, quarantine = (
        tuple((one.tag, one.clips) for one in found.holdings if one.kind == kind) for kind in ("golden", "quarantine")
    )
    head: tuple[str, ...] = (
        phrase("slot"), phrase("version"), phrase("status"), phrase("clips"), phrase("dataset"),
        phrase("champion (UTC)"), phrase("exact"),
    )  # fmt: skip
    if any(one.chain for one in found.adapters):
        head = (*head, phrase("learned from"))
    versions = tuple(
        (one.tag, one.clips, *(one.splits.get(split, 0) for split in _SPLITS), one.learnable) for one in data
    )
    rows = tuple(_trained_row(one)[: len(head)] for one in found.adapters)
    amounts = (
        phrase("version"), phrase("clips"), phrase("train"), phrase("validation"), phrase("test"),
        phrase("used in training"),
    )  # fmt: skip
    tables = [
        Table(phrase("Adapters trained on them"), head, rows),
        Table(phrase("Dataset versions"), amounts, versions),
        Table(phrase("Golden sets (used to judge, not to train)"), (phrase("version"), phrase("clips")), golden),
    ]
    if quarantine:
        title = phrase("In quarantine (never used in training)")
        tables.append(Table(title, (phrase("dataset version"), phrase("files")), quarantine))
    if found.unknown:
        rows = tuple((one.slot, _version(one.version), _STATES[one.status], one.note) for one in found.unknown)
        head = (phrase("slot"), phrase("version"), phrase("status"), phrase("reason"))
        tables.append(Table(phrase("Adapters with unknown training data"), head, rows))
    lead = _trained_lead(found, len(data), len(golden))
    return AuditAnswer(phrase("Trained on %(subject)s", subject=subject_text(found)), lead, tuple(tables))


def subject_text(found: TrainedOn) -> str:
    """Return the speaker or the clip of a question."""
    if found.subject.speaker:
        return phrase("speaker %(name)s", name=found.subject.speaker)
    return phrase("clip %(name)s", name=found.subject.clip)


def _recordings(number: int) -> str:
    return phrase_many("%(number)s recording", "%(number)s recordings", number)


def _trained_lead(found: TrainedOn, versions: int, golden: int) -> tuple[str, ...]:
    lead = [
        phrase(
            "%(recordings)s in %(slot)s, held by %(versions)s and %(golden)s. %(adapters)s trained on them; champions "
            "among them: %(champions)s.",
            recordings=_recordings(found.clips),
            slot=str(found.slot) if found.slot else phrase("all slots"),
            versions=phrase_many("%(number)s dataset version", "%(number)s dataset versions", versions),
            golden=phrase_many("%(number)s golden set", "%(number)s golden sets", golden),
            adapters=adapters_text(len(found.adapters)),
            champions=len(found.champions),
        )
    ]
    if through := sum(not one.clips for one in found.adapters):
        lead.append(
            phrase(
                "%(adapters)s of these learned from them through other adapters only.", adapters=adapters_text(through)
            )
        )
    if found.subject.clip and found.speakers:
        lead.append(phrase("Speaker: %(names)s.", names=", ".join(found.speakers)))
    if found.subject.speaker and not found.slot and len({one.slot for one in found.holdings}) > 1:
        lead.append(
            phrase("Other slots may use the same name for another person: add SITE/TASK to see one slot alone.")
        )
    if found.similar:
        lead.append(
            phrase(
                "Not in this answer: %(names)s, which differ only by case, width, blanks or a channel's ending. If "
                "they are the same person, ask for each of these names, too.",
                names=", ".join(f"{name!r} ({number:,})" for name, number in found.similar.items()),
            )
        )
    if found.unknown:
        lead.append(
            phrase(
                "The training data of %(adapters)s is unknown; the reasons are listed.",
                adapters=adapters_text(len(found.unknown)),
            )
        )
    return tuple(lead)


def erasure_answer(plan: ErasurePlan) -> AuditAnswer:
    """Return the answer of ``elp erasure plan``."""
    trained = trained_on_answer(plan.found)
    drops = [step for slot in plan.slots for step in slot.drops]
    tables = [_steps(phrase("First, in all slots"), drops)]
    tables += [_steps(phrase("%(slot)s, in this order", slot=slot.slot), slot.steps) for slot in plan.slots]
    tables.append(_steps(phrase("When every slot is done"), plan.after))
    files = tuple(
        (
            one.place,
            one.clips,
            ", ".join(one.versions) or phrase("unknown"),
            phrase("yes") if one.current else phrase("no"),
        )
        for one in plan.files
    )
    head = (phrase("file"), phrase("clips"), phrase("versions"), phrase("in use"))
    tables.append(Table(phrase("Files of the DVC remote that hold them"), head, files))
    tables.append(Table(phrase("What stays, and where"), (), tuple((sentence,) for sentence in plan.stays)))
    lead = (phrase("Nothing has been done yet."), *trained.lead)
    title = phrase("Erasure plan for %(subject)s", subject=subject_text(plan.found))
    return AuditAnswer(title, lead, (*tables, *trained.tables))


def tree_answer(tree: Fact, verified: bool) -> AuditAnswer:
    """Return the answer about one adapter, or about the registry."""
    failed, open_ones = len(tree.failed), len(tree.not_verified)
    if not verified:
        lead = phrase("From the records; nothing was verified (that is --verify).")
    elif failed:
        lead = phrase_many(
            "%(number)s fact failed verification; %(open)s could not be verified.",
            "%(number)s facts failed verification; %(open)s could not be verified.",
            failed,
            open=open_ones,
        )
    else:
        lead = phrase(
            "Everything that could be computed again is as recorded; %(open)s could not be verified.", open=open_ones
        )
    return AuditAnswer(phrase("Audit of %(name)s", name=tree.value), (lead,), tree=tree)


def short(moment: str) -> str:
    """Return a UTC moment to the second, without its offset."""
    return moment.replace("T", " ").split("+")[0].split(".")[0]


def _trained_row(one: TrainedAdapter) -> tuple[Any, ...]:
    periods = ""
    for period in one.champion_periods:
        span = phrase("%(since)s … %(until)s", since=short(period.since), until=_until(period.until))
        periods = phrase("%(earlier)s; %(span)s", earlier=periods, span=span) if periods else span
    exact = phrase("yes") if one.certain else one.note
    return one.slot, _version(one.version), _STATES[one.status], one.clips, one.dataset, periods, exact, one.chain


def _steps(title: str, steps: Iterable[Step]) -> Table:
    rows = tuple((step.what, "\n".join(step.commands)) for step in steps)
    return Table(title, (phrase("what"), phrase("commands")), rows, phrase("nothing to do"))


def _until(moment: str | None) -> str:
    return short(moment) if moment else phrase("now")


def _version(version: int | None) -> str:
    return f"v{version}" if version is not None else phrase("none")

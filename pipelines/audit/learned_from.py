"""The adapters that an adapter learned from, as a tree: as recorded, and checked against their own statements."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from pipelines.audit.audit_phrases import adapters_text
from pipelines.audit.facts import Fact
from pipelines.audit.server_records import newest_statements
from pipelines.registry.lineage import LearnedFrom, TrainingStart
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Statement
from pipelines.texts.english_phrases import phrase

BRANCH = phrase("learned from")
_AGAIN = phrase("shown above")
_ROLES = {"parent": phrase("parent"), "teacher": phrase("teacher"), "units": phrase("units")}


_STATEMENT = phrase("statement of")


class StatementChecks(Protocol):
    """What checks the statements about a version: `pipelines.audit.verify` has it."""

    def checked_about(self, model: str, version: int) -> Iterable[tuple[Fact, Statement | None]]:
        """Return each statement about a version with its result, newest first."""


def learned_branch(lineage: LineageStatement, known: Mapping[str, RegisteredAdapter]) -> Iterator[Fact]:
    """Yield the branch of the adapters that one learned from; nothing if there is none, and the start was set so."""
    start = lineage.start
    if lineage.learned or start != TrainingStart():
        children = (*_start(start), *_parents(lineage.learned, known, set()))
        number = adapters_text(len(lineage.learned))
        yield Fact(BRANCH, number, children=children)


def check_learned(
    lineage: LineageStatement, known: Mapping[str, RegisteredAdapter], checks: StatementChecks
) -> tuple[Fact, ...]:
    """Check each adapter that one learned from, and those behind it: it has a signed lineage of exactly that bundle."""
    return tuple(_checked(lineage.learned, known, checks, set()))


def _checked(
    learned: Iterable[LearnedFrom], known: Mapping[str, RegisteredAdapter], checks: StatementChecks, seen: set[str]
) -> Iterator[Fact]:
    for one in learned:
        if one.bundle in seen:
            continue
        seen.add(one.bundle)
        adapter = known.get(one.bundle)
        if adapter is None:
            yield Fact(_STATEMENT, one.name, "failed", _unrecorded(one.bundle))
            continue
        signed, _ = newest_statements(
            statement for _, statement in checks.checked_about(Slot.parse(adapter.slot).model_name, adapter.version)
        )
        if signed is None or signed.bundle != one.bundle:
            yield Fact(_STATEMENT, adapter.name, "failed", _other_bundle(one, signed))
            continue
        if one.version and one.name != adapter.name:
            note = phrase("the bundle %(bundle)s is that of %(name)s", bundle=one.bundle, name=adapter.name)
            yield Fact(_STATEMENT, one.name, "failed", note)
            continue
        behind = tuple(_checked(signed.learned, known, checks, seen))
        yield Fact(_STATEMENT, adapter.name, "verified", one.bundle, behind)


def _unrecorded(bundle: str) -> str:
    return phrase("the server has no record of the bundle %(bundle)s", bundle=bundle)


def _other_bundle(one: LearnedFrom, signed: LineageStatement | None) -> str:
    if signed is None:
        return phrase("no lineage with a valid signature is about it, learned from was %(learned)s", learned=one.bundle)
    return phrase(
        "its lineage is about %(bundle)s, learned from was %(learned)s", bundle=signed.bundle, learned=one.bundle
    )


def _start(start: TrainingStart) -> Iterator[Fact]:
    if start.init:
        yield Fact(
            "train.init", start.init, note=phrase("started fresh: %(reason)s", reason=start.why) if start.why else ""
        )
    if start.generation:
        note = phrase("trainings of the slot in a row before it")
        yield Fact(phrase("generation"), str(start.generation), note=note)
    if start.head:
        yield Fact(phrase("head"), phrase("new"), note=start.head)
    for one in start.candidates:
        name = f"{one.slot} v{one.version}"
        if one.value is not None:
            name = phrase("%(name)s, %(value)s on validation clips", name=name, value=f"{one.value:.4f}")
        yield Fact(phrase("candidate"), name, note=one.why)


def _parents(learned: Iterable[LearnedFrom], known: Mapping[str, RegisteredAdapter], seen: set[str]) -> Iterator[Fact]:
    for one in learned:
        adapter = known.get(one.bundle)
        name = adapter.name if adapter else one.name
        role = _ROLES.get(one.role or "parent", one.role)
        if one.bundle in seen:
            yield Fact(role, name, note=_AGAIN)
            continue
        seen.add(one.bundle)
        behind = tuple(_parents(adapter.learned, known, seen)) if adapter else ()
        yield Fact(role, name, note=_parent_note(one, adapter), children=behind)


def _parent_note(one: LearnedFrom, adapter: RegisteredAdapter | None) -> str:
    shared = one.bundle
    if one.weight != 1:
        shared = phrase("%(bundle)s, share %(share)s", bundle=one.bundle, share=f"{one.weight:.3g}")
    return phrase("%(bundle)s, trained on %(data)s", bundle=shared, data=adapter.dataset) if adapter else shared

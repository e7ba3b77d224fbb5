"""The adapters that an adapter learned from, as a tree: as recorded, and checked against their own statements."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from pipelines.audit.facts import Fact
from pipelines.audit.server_records import newest_statements
from pipelines.registry.lineage import LearnedFrom, TrainingStart
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Statement

BRANCH = "learned from"
_AGAIN = "shown above"


class StatementChecks(Protocol):
    """What checks the statements about a version: `pipelines.audit.verify` has it."""

    def checked_about(self, model: str, version: int) -> Iterable[tuple[Fact, Statement | None]]:
        """Return each statement about a version with its result, newest first."""


def learned_branch(lineage: LineageStatement, known: Mapping[str, RegisteredAdapter]) -> Iterator[Fact]:
    """Yield the branch of the adapters that one learned from; nothing if there is none, and the start was set so."""
    start = lineage.start
    if lineage.learned or start != TrainingStart():
        children = (*_start(start), *_parents(lineage.learned, known, set()))
        number = len(lineage.learned)
        yield Fact(BRANCH, f"{number} adapter{'' if number == 1 else 's'}", children=children)


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
            yield Fact("statement of", one.name, "failed", f"the server has no record of the bundle {one.bundle}")
            continue
        signed, _ = newest_statements(
            statement for _, statement in checks.checked_about(Slot.parse(adapter.slot).model_name, adapter.version)
        )
        if signed is None or signed.bundle != one.bundle:
            found = (
                f"its lineage is about {signed.bundle}" if signed else "no lineage with a valid signature is about it"
            )
            yield Fact("statement of", adapter.name, "failed", f"{found}, learned from was {one.bundle}")
            continue
        if one.version and one.name != adapter.name:
            yield Fact("statement of", one.name, "failed", f"the bundle {one.bundle} is that of {adapter.name}")
            continue
        behind = tuple(_checked(signed.learned, known, checks, seen))
        yield Fact("statement of", adapter.name, "verified", one.bundle, behind)


def _start(start: TrainingStart) -> Iterator[Fact]:
    if start.init:
        yield Fact("train.init", start.init, note=f"started fresh: {start.why}" if start.why else "")
    if start.generation:
        yield Fact("generation", str(start.generation), note="trainings of the slot in a row before it")
    if start.head:
        yield Fact("head", "new", note=start.head)
    for one in start.candidates:
        value = f", {one.value:.4f} on validation clips" if one.value is not None else ""
        yield Fact("candidate", f"{one.slot} v{one.version}{value}", note=one.why)


def _parents(learned: Iterable[LearnedFrom], known: Mapping[str, RegisteredAdapter], seen: set[str]) -> Iterator[Fact]:
    for one in learned:
        adapter = known.get(one.bundle)
        name = adapter.name if adapter else one.name
        share = f", share {one.weight:.3g}" if one.weight != 1 else ""
        if one.bundle in seen:
            yield Fact(one.role or "parent", name, note=_AGAIN)
            continue
        seen.add(one.bundle)
        note = f"{one.bundle}{share}" + (f", trained on {adapter.dataset}" if adapter else "")
        behind = tuple(_parents(adapter.learned, known, seen)) if adapter else ()
        yield Fact(one.role or "parent", name, note=note, children=behind)

"""Who may become champion: facts in, an allowed move or a refusal out. Pure, so that every case stands in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Want = Literal["promote", "rollback", "any", "override"]
"""What the caller asked for; ``any`` is MLflow's own alias route, which does not say. An ``override`` is two people's
word in place of the verdict; the bytes and their lineage are demanded as ever."""


@dataclass(frozen=True)
class Standing:
    """The champion of this moment."""

    version: int
    bundle: str


@dataclass(frozen=True)
class Proof:
    """A statement as the database has it, verified again now."""

    digest: str
    """Of the statement."""
    model: str
    version: int
    bundle: str
    fingerprint: str
    outcome: str = ""
    """passed, failed or undecided; empty for a lineage."""
    against: Standing | None = None
    """What a verdict compared with; None where there was no champion."""
    fault: str = ""
    """Why its signature does not count; empty where it does."""
    seq: int = 0
    """Number of the ledger's entry that recorded it."""


@dataclass(frozen=True)
class Served:
    """The last time that a version was made champion by a verdict, as the ledger tells it."""

    bundle: str
    verdict: Proof | None
    """The verdict of then; None where the database has lost it."""


@dataclass(frozen=True)
class Facts:
    """All that the decision rests on."""

    slot: str
    """``SITE/TASK``."""
    model: str
    version: int
    bundle: str
    """Digest of the bytes in the artifact store, hashed a moment ago; empty where they are no bundle."""
    damage: str = ""
    """What is wrong with the bytes, where `bundle` is empty."""
    champion: Standing | None = None
    lineage: Proof | None = None
    verdict: Proof | None = None
    """The newest verdict on the version."""
    served: Served | None = None
    since: int = 0
    """Number of the newest entry that changed the slot's champion; 0 where it never had one."""
    last: str = ""
    """What last happened to it: promoted, rolled back to, rolled back from, replaced, retired …; empty for nothing."""
    last_told: str = ""
    """Who did that, when and why, for people."""

    @property
    def name(self) -> str:
        """``SITE/TASK v3``."""
        return f"{self.slot} v{self.version}"


@dataclass(frozen=True)
class Move:
    """What the guard allows."""

    event: Literal["promoted", "rolled back", "overridden"]
    statements: tuple[str, ...]
    """Digests of the statements it rests on."""


@dataclass(frozen=True)
class Refused:
    """What the guard does not allow."""

    sentence: str
    """What, why, and the command to run next."""


def decide(facts: Facts, want: Want, *, again: bool = False) -> Move | Refused:
    """Whether the version may become champion.

    Args:
        facts: Of this moment, read under the lock (the bytes just before it).
        want: What was asked for. For ``any``, a version that may not be promoted may still be rolled back to.
        again: Promote even a version that was rolled back.
    """
    damage = _damage(facts)
    if damage is not None:
        return damage
    if want == "rollback":
        return _rollback(facts)
    if want == "override":
        assert facts.lineage is not None
        return Move("overridden", (facts.lineage.digest,))
    promotion = _promotion(facts, again)
    if want == "promote" or isinstance(promotion, Move):
        return promotion
    rollback = _rollback(facts)
    return rollback if isinstance(rollback, Move) else promotion


def _damage(facts: Facts) -> Refused | None:
    if not facts.bundle:
        return Refused(
            f"{facts.name} cannot serve: what the artifact store holds is no intact bundle ({facts.damage}); "
            f"train it again: elp train {facts.slot}"
        )
    if facts.lineage is None:
        return Refused(
            f"{facts.name} has no signed lineage: it was not registered by a trainer that this server trusts; train "
            f"one: elp train {facts.slot}"
        )
    if facts.lineage.fault:
        return Refused(
            f"the lineage of {facts.name} does not count: {facts.lineage.fault}; train again: elp train {facts.slot}"
        )
    if facts.lineage.model != facts.model:
        return Refused(
            f"the lineage of {facts.name} was signed for {facts.lineage.model}; train one here: elp train {facts.slot}"
        )
    if facts.bundle != facts.lineage.bundle:
        return Refused(
            f"the bytes of {facts.name} were changed: they hash to {short(facts.bundle)}, signed was "
            f"{short(facts.lineage.bundle)}; do not use it, train again: elp train {facts.slot}"
        )
    return None


def _promotion(facts: Facts, again: bool) -> Move | Refused:
    verdict, lineage = facts.verdict, facts.lineage
    gate = f"elp gate {facts.slot} --version {facts.version}"
    if verdict is None:
        return Refused(f"{facts.name} was never gated; gate it: {gate}")
    if verdict.fault:
        return Refused(f"the verdict on {facts.name} does not count: {verdict.fault}; gate it again: {gate}")
    fault = _other_subject(facts, verdict)
    if fault:
        return Refused(f"the newest verdict on {facts.name} is about {fault}; gate it again: {gate}")
    if verdict.outcome != "passed":
        return Refused(
            f"{facts.name}: the gate's verdict is {verdict.outcome}; its reasons: elp audit {facts.slot} "
            f"--version {facts.version}"
        )
    if verdict.against != facts.champion:
        return Refused(
            f"{facts.name} passed against {told(verdict.against)}, but now there is {told(facts.champion)}; gate it "
            f"again: {gate}"
        )
    if verdict.against is None and verdict.seq < facts.since:
        return Refused(
            f"{facts.name} was judged as a first version, but {facts.slot} had a champion since; gate it again: {gate}"
        )
    if facts.last == "rolled back from" and not again:
        return Refused(
            f"{facts.name} was rolled back {facts.last_told}; train another on better data, or promote it on purpose: "
            f"elp promote {facts.slot} --version {facts.version} --again"
        )
    assert lineage is not None
    return Move("promoted", (verdict.digest, lineage.digest))


def _rollback(facts: Facts) -> Move | Refused:
    served, lineage = facts.served, facts.lineage
    if served is None:
        return Refused(
            f"{facts.name} was never champion by a verdict, so there is nothing to roll back to; promote it instead: "
            f"elp promote {facts.slot} --version {facts.version}"
        )
    if facts.last == "rolled back from":
        return Refused(
            f"{facts.name} was rolled back {facts.last_told}; it does not come back by a rollback. Promote it on "
            f"purpose: elp promote {facts.slot} --version {facts.version} --again"
        )
    if served.bundle != facts.bundle:
        return Refused(
            f"{facts.name} was champion with the bundle {short(served.bundle)}, now its bytes hash to "
            f"{short(facts.bundle)}; do not use it, roll back to another version"
        )
    verdict = served.verdict
    if verdict is None or verdict.fault or _other_subject(facts, verdict) or verdict.outcome != "passed":
        why = "is gone" if verdict is None else verdict.fault or "is not about this version"
        return Refused(
            f"the verdict that made {facts.name} champion does not hold any more: {why}; gate it again: "
            f"elp gate {facts.slot} --version {facts.version}"
        )
    assert lineage is not None
    return Move("rolled back", (verdict.digest, lineage.digest))


def _other_subject(facts: Facts, verdict: Proof) -> str:
    """What the verdict is about, where it is not this very version; empty where it is."""
    assert facts.lineage is not None
    if (verdict.model, verdict.version) != (facts.model, facts.version):
        return f"{verdict.model} v{verdict.version}"
    if verdict.bundle != facts.bundle:
        return f"the bundle {short(verdict.bundle)}, but its bytes hash to {short(facts.bundle)}"
    if verdict.fingerprint != facts.lineage.fingerprint:
        return f"the backbone {short(verdict.fingerprint)}, but it was trained on {short(facts.lineage.fingerprint)}"
    return ""


def told(standing: Standing | None) -> str:
    """A champion for people: ``v3 (sha256:1a2b3c4d5e6f…)`` or ``no champion``."""
    return f"v{standing.version} ({short(standing.bundle)})" if standing else "no champion"


def short(digest: str) -> str:
    """The beginning of a digest, for people."""
    return digest[:19] + "…" if len(digest) > 20 else digest or "nothing"

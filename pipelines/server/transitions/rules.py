"""The rules of the champion transition: facts in, permission or denial out. Pure, so that tables test every case."""

from dataclasses import dataclass, field
from typing import Literal

from pipelines.registry.adapter_version import report_address
from pipelines.registry.lineage import BackboneOrigin
from pipelines.registry.verdict_statement import ChampionRef

TransitionKind = Literal["promote", "rollback", "any", "override", "migrate", "migrate back"]
"""What the caller asked for. MLflow's own alias route does not say, so it asks for ``any``. In an ``override`` the
approval of two people replaces the verdict; the bytes and their lineage are checked as in every other kind. To
``migrate`` is a promotion to another backbone, of one slot among those of its site that change in one entry."""


@dataclass(frozen=True)
class CheckedStatement:
    """A statement in the database, verified again at this moment."""

    digest: str
    """Of the statement."""
    model: str
    version: int
    bundle: str
    fingerprint: str
    outcome: str = ""
    """passed, failed or undecided; empty for a lineage."""
    against: ChampionRef | None = None
    """The champion that a verdict compared with; None if there was none."""
    fault: str = ""
    """Why its signature does not count; empty if it does."""
    seq: int = 0
    """Number of the ledger entry that recorded it."""
    reason: str = ""
    """The first reason of a verdict; empty for a lineage, and for a verdict of release 0.1.0."""
    backbone: str = ""
    """Id of the backbone; empty for a verdict."""
    origin: BackboneOrigin = field(default_factory=BackboneOrigin)
    """What a lineage says about licence and source of the backbone."""
    waits_for_voices: bool = False
    """Whether the policy of a verdict lets a promotion wait until every enrolled voice is renewed."""


@dataclass(frozen=True)
class FormerPromotion:
    """The last time that a verdict made a version champion, as the ledger records it."""

    bundle: str
    verdict: CheckedStatement | None
    """The verdict of that promotion; None if the database has lost it."""


@dataclass(frozen=True)
class VersionFacts:
    """Everything that the decision depends on."""

    slot: str
    """``SITE/TASK``."""
    model: str
    version: int
    bundle: str
    """Digest of the bytes in the artifact store, hashed just before; empty if they are no bundle."""
    damage: str = ""
    """What is wrong with the bytes if `bundle` is empty."""
    champion: ChampionRef | None = None
    lineage: CheckedStatement | None = None
    verdict: CheckedStatement | None = None
    """The newest verdict on the version."""
    former: FormerPromotion | None = None
    since: int = 0
    """Number of the newest entry that changed the slot's champion; 0 if it never had one."""
    last: str = ""
    """The newest change of the champion that concerns the version: promoted, rolled back to, rolled back from,
    replaced, retired …; empty if there is none."""
    last_details: str = ""
    """When, by whom and why that happened, for people."""
    licence: str = ""
    """Why the licence of its backbone keeps it from being champion; empty if it does not. Only an override lifts it."""
    unrenewed: int = 0
    """Enrolled voices of the slot that have no template under the version's bundle."""
    champion_fingerprint: str = ""
    """Of the champion's backbone; empty if there is no champion, or no lineage of it."""
    stated: bool = False
    """Whether the ledger states the change of the site from the champion's backbone to that of the version."""

    @property
    def name(self) -> str:
        """Return ``SITE/TASK v3``."""
        return f"{self.slot} v{self.version}"


@dataclass(frozen=True)
class Allowed:
    """A champion transition that the rules allow."""

    event: Literal["promoted", "rolled back", "overridden", "migrated", "migrated back"]
    statements: tuple[str, ...]
    """Digests of the statements that it is based on."""


@dataclass(frozen=True)
class Denied:
    """A champion transition that the rules deny."""

    sentence: str
    """What, why, and the command to run next."""


def decide_transition(facts: VersionFacts, kind: TransitionKind, *, again: bool = False) -> Allowed | Denied:
    """Decide by facts read under the lock (the bytes just before it) if a version may become champion.

    With the kind ``any``, a version that may not be promoted may still be rolled back to. With `again`, even a version
    that was rolled back may be promoted.
    """
    fault = _damage(facts)
    if fault:
        return Denied(fault)
    if kind != "override" and (fault := licence_sentence(facts)):
        return Denied(fault)
    if kind in ("rollback", "migrate back"):
        # to a former champion, on whatever backbone it was
        fault = _rollback_fault(facts)
        return Denied(fault) if fault else _rollback(facts, kind)
    fault = _backbone_fault(facts, kind)
    if kind == "override":
        return Denied(fault) if fault else Allowed("overridden", _digests(facts.lineage))
    fault = fault or _promotion_fault(facts, again)
    if not fault:
        return Allowed("migrated" if kind == "migrate" else "promoted", _digests(facts.verdict, facts.lineage))
    return _rollback(facts, kind) if kind == "any" and not _rollback_fault(facts) else Denied(fault)


def _backbone_fault(facts: VersionFacts, kind: TransitionKind) -> str:
    """Return why the slot may not change its backbone like this; empty if it does not change it, or may."""
    assert facts.lineage is not None
    before, after = facts.champion_fingerprint, facts.lineage.fingerprint
    if not before or before == after:
        return ""
    site = facts.slot.partition("/")[0]
    change = f"{facts.name} is on the backbone {short_digest(after)}, the champion on {short_digest(before)}"
    if not facts.stated:
        return f"{change}, and nothing states that {site} changes to it: elp backbone migrate BACKBONE {site}"
    if kind in ("promote", "any"):
        return f"{change}; the slots of a site change together: elp backbone switch BACKBONE {site}"
    return ""


def _rollback(facts: VersionFacts, kind: TransitionKind) -> Allowed:
    event: Literal["migrated back", "rolled back"] = "migrated back" if kind == "migrate back" else "rolled back"
    return Allowed(event, _digests(facts.former.verdict if facts.former else None, facts.lineage))


def _digests(*statements: CheckedStatement | None) -> tuple[str, ...]:
    return tuple(statement.digest for statement in statements if statement is not None)


def _damage(facts: VersionFacts) -> str:
    """Return why the bytes cannot serve, whatever was asked for; empty if they can."""
    name, lineage, train = facts.name, facts.lineage, f"elp train {facts.slot}"
    if not facts.bundle:
        return (
            f"{name} cannot serve: the artifact store holds no intact bundle ({facts.damage}); train it again: {train}"
        )
    if lineage is None:
        return (
            f"{name} has no signed lineage: it was not registered by a trainer that this server trusts; train one: "
            f"{train}"
        )
    if lineage.fault:
        return f"the lineage of {name} does not count: {lineage.fault}; train again: {train}"
    if lineage.model != facts.model:
        return f"the lineage of {name} was signed for {lineage.model}; train one here: {train}"
    if facts.bundle != lineage.bundle:
        return (
            f"the bytes of {name} were changed: they hash to {short_digest(facts.bundle)}, signed was "
            f"{short_digest(lineage.bundle)}; do not use it, train again: {train}"
        )
    return ""


def licence_sentence(facts: VersionFacts) -> str:
    """Return that the licence of its backbone keeps a version from being champion; empty if it does not."""
    if not facts.licence:
        return ""
    ask = f"elp promote {facts.slot} --version {facts.version} --override --reason TEXT"
    return f"{facts.name}: {facts.licence}; train on another backbone, or let two people override it: {ask}"


def _promotion_fault(facts: VersionFacts, again: bool) -> str:
    """Return why the newest verdict does not make the version champion; empty if it does."""
    name, verdict, gate = facts.name, facts.verdict, f"elp gate {facts.slot} --version {facts.version}"
    if verdict is None:
        return f"{name} was never gated; gate it: {gate}"
    if verdict.fault:
        return f"the verdict on {name} does not count: {verdict.fault}; gate it again: {gate}"
    if other := _other_subject(facts, verdict):
        return f"the newest verdict on {name} is about {other}; gate it again: {gate}"
    if verdict.outcome != "passed":
        why = f": {verdict.reason.rstrip('.')}" if verdict.reason else ""
        report, audit = report_address("", facts.slot, facts.version), f"elp audit {facts.slot} {facts.version}"
        return f"{name}: the gate's verdict is {verdict.outcome}{why}; the report: {report}, all reasons: {audit}"
    if verdict.against != facts.champion:
        then, now = champion_text(verdict.against), champion_text(facts.champion)
        return f"{name} passed against {then}, but now there is {now}; gate it again: {gate}"
    # a first version is compared with no champion: a verdict from before the slot's last champion proves nothing now
    if verdict.against is None and verdict.seq < facts.since:
        return f"{name} was judged as a first version, but {facts.slot} had a champion since; gate it again: {gate}"
    if verdict.waits_for_voices and facts.unrenewed:
        return (
            f"{name} passed, but its policy lets it wait: {facts.unrenewed} enrolled voices are not renewed for it; "
            f"renew them: elp enrol migrate {facts.slot} --version {facts.version}"
        )
    if facts.last == "rolled back from" and not again:
        return (
            f"{name} was rolled back {facts.last_details}; train another on better data, or promote it on purpose: "
            f"{_promote_again(facts)}"
        )
    return ""


def _rollback_fault(facts: VersionFacts) -> str:
    """Return why the slot cannot be rolled back to the version; empty if it can."""
    name, former = facts.name, facts.former
    if former is None:
        return (
            f"{name} was never champion by a verdict, so there is nothing to roll back to; promote it instead: "
            f"elp promote {facts.slot} --version {facts.version}"
        )
    if facts.last == "rolled back from":
        return (
            f"{name} was rolled back {facts.last_details}; a rollback does not bring it back. Promote it on purpose: "
            f"{_promote_again(facts)}"
        )
    if former.bundle != facts.bundle:
        return (
            f"{name} was champion with the bundle {short_digest(former.bundle)}, now its bytes hash to "
            f"{short_digest(facts.bundle)}; do not use it, roll back to another version"
        )
    verdict = former.verdict
    if verdict is None or verdict.fault or _other_subject(facts, verdict) or verdict.outcome != "passed":
        why = "it is gone" if verdict is None else verdict.fault or "it is not about this version"
        return (
            f"the verdict that made {name} champion no longer holds: {why}; gate it again: "
            f"elp gate {facts.slot} --version {facts.version}"
        )
    return ""


def _promote_again(facts: VersionFacts) -> str:
    return f"elp promote {facts.slot} --version {facts.version} --again"


def _other_subject(facts: VersionFacts, verdict: CheckedStatement) -> str:
    """Return what the verdict is about if that is not this very version; empty if it is."""
    assert facts.lineage is not None
    if (verdict.model, verdict.version) != (facts.model, facts.version):
        return f"{verdict.model} v{verdict.version}"
    if verdict.bundle != facts.bundle:
        return f"the bundle {short_digest(verdict.bundle)}, but its bytes hash to {short_digest(facts.bundle)}"
    trained_on = facts.lineage.fingerprint
    if verdict.fingerprint != trained_on:
        return f"the backbone {short_digest(verdict.fingerprint)}, but it was trained on {short_digest(trained_on)}"
    return ""


def champion_text(champion: ChampionRef | None) -> str:
    """Return a champion for people: ``v3 (sha256:1a2b3c4d5e6f…)`` or ``no champion``."""
    return f"v{champion.version} ({short_digest(champion.bundle)})" if champion else "no champion"


def short_digest(digest: str) -> str:
    """Return the beginning of a digest, for people."""
    return digest[:19] + "…" if len(digest) > 20 else digest or "nothing"

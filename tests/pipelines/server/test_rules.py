from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.registry.verdict_statement import ChampionRef
from pipelines.server.transitions.rules import (
    Allowed,
    CheckedStatement,
    Denied,
    FormerPromotion,
    TransitionKind,
    VersionFacts,
    decide_transition,
    short_digest,
)

BUNDLE, OTHER, PRINT = "sha256:" + "b" * 64, "sha256:" + "c" * 64, "sha256:" + "f" * 64
OLD = ChampionRef(2, "sha256:" + "a" * 64)
LINEAGE = CheckedStatement("l", "elp.plant-a.asr", 3, BUNDLE, PRINT, seq=4)
VERDICT = CheckedStatement("v", "elp.plant-a.asr", 3, BUNDLE, PRINT, "passed", OLD, seq=5)
GOOD = VersionFacts(
    "plant-a/asr", "elp.plant-a.asr", 3, BUNDLE, champion=OLD, lineage=LINEAGE, verdict=VERDICT, since=3
)
FORMER = replace(
    GOOD, former=FormerPromotion(BUNDLE, VERDICT), last="replaced", champion=ChampionRef(4, OTHER), since=9
)


def _verdict(**over: Any) -> VersionFacts:
    return replace(GOOD, verdict=replace(VERDICT, **over))


def _former(**over: Any) -> VersionFacts:
    return replace(FORMER, former=replace(FormerPromotion(BUNDLE, VERDICT), **over))


def test_a_version_that_passed_against_the_present_champion_is_promoted() -> None:
    assert decide_transition(GOOD, "promote") == decide_transition(GOOD, "any") == Allowed("promoted", ("v", "l"))


def test_a_first_version_is_promoted_if_there_never_was_a_champion() -> None:
    first = replace(_verdict(against=None), champion=None, since=0)
    assert decide_transition(first, "promote") == Allowed("promoted", ("v", "l"))


def test_a_former_champion_comes_back_by_the_proof_of_then() -> None:
    assert (
        decide_transition(FORMER, "rollback") == decide_transition(FORMER, "any") == Allowed("rolled back", ("v", "l"))
    )
    assert isinstance(decide_transition(FORMER, "promote"), Denied)


def test_another_backbone_takes_a_statement_and_the_whole_site() -> None:
    moved = replace(GOOD, champion_fingerprint="sha256:" + "9" * 64)
    for kind in ("promote", "any", "override", "migrate"):
        _refused(moved, kind, "nothing states that plant-a changes to it: elp backbone migrate BACKBONE plant-a")
    stated = replace(moved, stated=True)
    for kind in ("promote", "any"):
        _refused(stated, kind, "the slots of a site change together: elp backbone switch BACKBONE plant-a")
    assert decide_transition(stated, "migrate") == Allowed("migrated", ("v", "l"))
    assert decide_transition(stated, "override") == Allowed("overridden", ("l",))
    # the way back needs neither
    former = replace(FORMER, champion_fingerprint="sha256:" + "9" * 64)
    assert decide_transition(former, "rollback") == Allowed("rolled back", ("v", "l"))
    assert decide_transition(former, "migrate back") == Allowed("migrated back", ("v", "l"))


def test_what_was_rolled_back_is_promoted_on_purpose_only() -> None:
    left = replace(GOOD, last="rolled back from", last_details="at noon by ann (noise)")
    assert isinstance(decide_transition(left, "promote", again=True), Allowed)
    _refused(left, "promote", "was rolled back at noon by ann (noise); train another on better data, or promote it on")


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (replace(GOOD, bundle="", damage="a file is missing"), "no intact bundle (a file is missing); train it again"),
        (replace(GOOD, lineage=None), "has no signed lineage"),
        (replace(GOOD, lineage=replace(LINEAGE, fault="its key was revoked")), "does not count: its key was revoked"),
        (replace(GOOD, lineage=replace(LINEAGE, model="elp.b.asr")), "was signed for elp.b.asr"),
        (replace(GOOD, bundle=OTHER), "the bytes of plant-a/asr v3 were changed: they hash to sha256:cccccccccccc…"),
    ],
    ids=lambda value: value.replace("…", "...") if isinstance(value, str) else "",
)
@pytest.mark.parametrize("kind", ["promote", "rollback", "any"])
def test_damaged_or_unsigned_bytes_never_serve(facts: VersionFacts, sentence: str, kind: TransitionKind) -> None:
    former = replace(facts, former=FORMER.former)
    _refused(former, kind, sentence)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (replace(GOOD, verdict=None), "was never gated; gate it: elp gate plant-a/asr --version 3"),
        (_verdict(fault="its key was retired"), "does not count: its key was retired; gate it again"),
        (_verdict(outcome="failed"), "the gate's verdict is failed; the report: /elp/slots/plant-a/asr/v3/report"),
        (
            _verdict(outcome="undecided", reason="too few clips."),
            "v3: the gate's verdict is undecided: too few clips; the report: /elp/slots/plant-a/asr/v3/report, "
            "all reasons: elp audit plant-a/asr 3",
        ),
        (_verdict(outcome="undecided"), "the gate's verdict is undecided"),
        (_verdict(model="elp.plant-b.asr"), "is about elp.plant-b.asr v3; gate it again"),
        (_verdict(version=2), "is about elp.plant-a.asr v2; gate it again"),
        (
            _verdict(bundle=OTHER),
            "is about the bundle sha256:cccccccccccc…, but its bytes hash to sha256:bbbbbbbbbbbb…",
        ),
        (_verdict(fingerprint=OTHER), "is about the backbone sha256:cccccccccccc…, but it was trained on"),
        (
            _verdict(against=None),
            "passed against no champion, but now there is v2 (sha256:aaaaaaaaaaaa…); gate it again",
        ),
        (_verdict(against=ChampionRef(2, OTHER)), "passed against v2 (sha256:cccccccccccc…), but now there is v2"),
        (replace(GOOD, champion=None), "passed against v2 (sha256:aaaaaaaaaaaa…), but now there is no champion"),
        (
            replace(_verdict(against=None), champion=None, since=9),
            "was judged as a first version, but plant-a/asr had a champion since; gate it again",
        ),
    ],
    ids=lambda value: value.replace("…", "...") if isinstance(value, str) else "",
)
def test_what_the_verdict_does_not_carry_is_not_promoted(facts: VersionFacts, sentence: str) -> None:
    _refused(facts, "promote", sentence)
    _refused(facts, "any", sentence)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (GOOD, "was never champion by a verdict, so there is nothing to roll back to; promote it instead"),
        (replace(FORMER, last="rolled back from"), "a rollback does not bring it back. Promote it on purpose"),
        (_former(bundle=OTHER), "was champion with the bundle sha256:cccccccccccc…, now its bytes hash to"),
        (_former(verdict=None), "no longer holds: it is gone; gate it again"),
        (
            _former(verdict=replace(VERDICT, fault="its key was revoked")),
            "no longer holds: its key was revoked; gate it again",
        ),
        (_former(verdict=replace(VERDICT, version=2)), "no longer holds: it is not about this version"),
        (_former(verdict=replace(VERDICT, outcome="failed")), "no longer holds"),
    ],
    ids=lambda value: value.replace("…", "...") if isinstance(value, str) else "",
)
def test_what_the_proof_of_then_does_not_carry_is_not_rolled_back_to(facts: VersionFacts, sentence: str) -> None:
    _refused(facts, "rollback", sentence)


def _refused(facts: VersionFacts, kind: TransitionKind, sentence: str) -> None:
    found = decide_transition(facts, kind)
    assert isinstance(found, Denied)
    assert sentence in found.sentence


def test_an_override_needs_intact_signed_bytes_only() -> None:
    assert decide_transition(replace(GOOD, verdict=None), "override") == Allowed("overridden", ("l",))
    _refused(replace(GOOD, verdict=None, lineage=None), "override", "has no signed lineage")


@pytest.mark.parametrize("kind", ["promote", "rollback", "any"])
def test_a_licence_that_forbids_keeps_every_version_from_being_champion_but_for_an_override(
    kind: TransitionKind,
) -> None:
    for facts in (GOOD, FORMER):
        _refused(replace(facts, licence="its backbone x is under y"), kind, "v3: its backbone x is under y; train on")
    assert decide_transition(replace(GOOD, licence="no"), "override") == Allowed("overridden", ("l",))


def test_a_digest_is_shortened_only_if_it_is_long() -> None:
    assert short_digest("") == "nothing"
    assert short_digest("x" * 20) == "x" * 20
    assert short_digest("x" * 21) == "x" * 19 + "…"

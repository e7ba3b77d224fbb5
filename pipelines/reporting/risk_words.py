"""The risks of a slot's adapter, from its verdict, its data and the monitor. What was not checked is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.registry.backbone_licence import LicenceFault
from pipelines.registry.verdict_statement import NamedOutcome, VerdictStatement
from pipelines.reporting.site_report import SlotReport
from pipelines.texts.english_records import with_english
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.written_numbers import written_day, written_share

RiskTone = Literal["good", "bad", "unknown"]
REFUSED = 0.1
"""From this share of refused clips on, the recordings are a risk."""


@dataclass(frozen=True)
class NamedRisk:
    """One line of the table of risks."""

    tone: RiskTone
    text: str


def slot_risks(texts: Texts, slot: SlotReport) -> list[NamedRisk]:
    """Return the risks of a slot, those that are shown first."""
    shown = slot.shown
    if shown is None:
        return [NamedRisk("unknown", texts.say("There is no adapter yet, so nothing is known of its risks."))]
    found = _data_risks(texts, slot)
    if shown.version.override:
        found.append(
            NamedRisk("bad", texts.say("The adapter serves by an exception of two people, without a passed verdict."))
        )
    if shown.verdict is None:
        found.append(NamedRisk("unknown", texts.say("The gate has not measured it: nothing is known of its errors.")))
    else:
        found += _verdict_risks(texts, shown.verdict)
    found += [_licence_risk(texts, slot), _monitor_risk(texts, slot)]
    return sorted(found, key=lambda risk: ("bad", "unknown", "good").index(risk.tone))


def _monitor_risk(texts: Texts, slot: SlotReport) -> NamedRisk:
    if slot.alarm_since:
        since = written_day(texts, slot.alarm_since)
        return NamedRisk(
            "bad", texts.say("The audio of the site has changed: the monitor's alarm is of %(day)s.", day=since)
        )
    if not slot.looks:
        return NamedRisk(
            "unknown",
            texts.say("The audio of the site is not watched, so a new microphone or noise would not be noticed."),
        )
    return NamedRisk("good", texts.say("The monitor watches the audio of the site and has found no change."))


def _licence_risk(texts: Texts, slot: SlotReport) -> NamedRisk:
    if slot.licence_fault:
        return NamedRisk("bad", licence_fault_words(texts, slot.licence_fault))
    if not slot.licence:
        return NamedRisk("unknown", texts.say("The licence of the backbone is not recorded."))
    return NamedRisk("good", texts.say("The licence of the backbone is %(licence)s.", licence=slot.licence))


def licence_fault_words(texts: Texts, fault: LicenceFault) -> str:
    """Return why the licence of its backbone keeps an adapter from being champion."""
    named = {"backbone": fault.backbone, "licence": fault.licence}
    match fault.rule:
        case "forbidden":
            return texts.say("The licence %(licence)s of the backbone %(backbone)s forbids commercial use.", **named)
        case "unlisted":
            return texts.say(
                "The licence %(licence)s of the backbone %(backbone)s is not on the list backbones.allow.", **named
            )
        case "unknown":
            return texts.say(
                "It is not known whether the licence %(licence)s of the backbone %(backbone)s permits commercial use, "
                "and elp.yaml refuses such licences.",
                **named,
            )
        case "published":
            return texts.say(
                "The licence of the backbone %(backbone)s is not recorded. It was published under %(licence)s, which "
                "forbids commercial use.",
                **named,
            )
    return texts.say(
        "The licence of the backbone %(backbone)s is not recorded, and elp.yaml refuses unknown licences.", **named
    )


def _data_risks(texts: Texts, slot: SlotReport) -> list[NamedRisk]:
    recorded, found = slot.recorded, []
    if recorded is None:
        return []
    if recorded.closed_set:
        found.append(
            NamedRisk(
                "unknown",
                texts.say("The same people are in training and golden set: for other people, the errors may be more."),
            )
        )
    if recorded.taught_seconds:
        part = written_share(texts, recorded.taught_seconds / recorded.seconds)
        found.append(
            NamedRisk("unknown", texts.say("An adapter, not a person, labelled %(share)s of the audio.", share=part))
        )
    if recorded.refused_share >= REFUSED:
        part = written_share(texts, recorded.refused_share)
        found.append(
            NamedRisk("bad", texts.say("%(share)s of the delivered clips could not be used; see why.", share=part))
        )
    return found


def _verdict_risks(texts: Texts, verdict: VerdictStatement) -> list[NamedRisk]:
    details = verdict.details
    if details is None:
        return [NamedRisk("unknown", texts.say("This verdict of an old release does not list its checks."))]
    found = []
    for check in details.checks:
        if check.outcome == "failed":
            text = texts.say("A check was not passed: %(name)s.", name=check.name)
            found.append(NamedRisk("bad", with_english(texts, text, check.name)))
        elif check.outcome == "undecided":
            text = texts.say("A check is not decided: %(name)s.", name=check.name)
            found.append(NamedRisk("unknown", with_english(texts, text, check.name)))
    found += [_slice_risk(texts, part) for part in details.slices if part.outcome != "passed"]
    parts = (*details.checks, *details.slices)
    if passed := sum(one.outcome == "passed" for one in parts):
        text = texts.say("%(passed)s of %(all)s checks of the gate are passed.", passed=passed, all=len(parts))
        found.append(NamedRisk("good", text))
    return found


def _slice_risk(texts: Texts, part: NamedOutcome) -> NamedRisk:
    if part.outcome == "failed" and part.kind == "group":
        text = texts.say("The adapter is worse for the group %(name)s.", name=part.name)
    elif part.outcome == "failed":
        text = texts.say("The adapter is worse in the condition %(name)s.", name=part.name)
    elif part.kind == "group":
        text = texts.say("Too little audio of the group %(name)s to decide.", name=part.name)
    else:
        text = texts.say("Too little audio in the condition %(name)s to decide.", name=part.name)
    return NamedRisk("bad" if part.outcome == "failed" else "unknown", with_english(texts, text, part.name))

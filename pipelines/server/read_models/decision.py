"""What a person who decides reads of a slot: champion, challenger, cost, risk and the next step, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.number_text import BEFORE
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.verdict_statement import NamedOutcome, VerdictStatement
from pipelines.server.read_models.grid import find_contender
from pipelines.server.read_models.slot_page import SlotPage, VersionRow
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts, texts
from pipelines.texts.rate_words import metric_words, points_words, rate_words

Tone = Literal["good", "bad", "unknown"]


@dataclass(frozen=True)
class Risk:
    """One line of the card on risks. What was not checked is unknown, never good."""

    tone: Tone
    text: str


@dataclass(frozen=True)
class Cost:
    """What a version cost; None for what its run did not record."""

    seconds: float | None
    """Of training."""
    parameters: float | None
    backbone: float | None
    """Parameters of the backbone, which a full copy would have to store."""
    bytes: float | None

    @property
    def share(self) -> float | None:
        """Return the parameters as a share of a full copy's."""
        return self.parameters / self.backbone if self.parameters and self.backbone else None


@dataclass(frozen=True)
class Before:
    """The metric on the validation clips before the first training step."""

    metric: str
    untrained: float
    trained: float | None
    """On the same clips after the training."""
    version: int
    words: str = field(default="", compare=False)
    """The rate in a sentence."""


@dataclass(frozen=True)
class Decision:
    """The cards of a slot's page."""

    champion: VersionRow | None
    contender: VersionRow | None
    champion_words: str
    contender_words: str
    change: str
    """The contender against the champion; empty without a comparison."""
    cost: Cost | None
    """Of the contender, or else of the champion."""
    risks: tuple[Risk, ...]
    next_step: str
    before: Before | None = None
    """Of the contender, or else of the champion; None if its training did not measure it."""


def find_decision(
    page: SlotPage, metrics: Mapping[str, Mapping[str, float]], language: Texts | None = None
) -> Decision:
    """Return the cards of a slot; `metrics` are those of the training runs by run id. English without a language."""
    said = language or texts("en")
    champion = page.row(page.champion.version) if page.champion else None
    found = find_contender([row.version for row in page.rows], page.champion)
    contender = page.row(found.version) if found else None
    about = contender or champion
    return Decision(
        champion=champion,
        contender=contender,
        champion_words=_words(said, champion),
        contender_words=_words(said, contender),
        change=change_text(contender.judged.statement, said) if contender and contender.judged else "",
        cost=version_cost(about.version, metrics) if about else None,
        risks=tuple(_risks(said, page, about)) if about else (),
        next_step=_next_step(said, page, champion, contender),
        before=_before(said, about.version, metrics) if about else None,
    )


def _words(said: Texts, row: VersionRow | None) -> str:
    verdict = row.judged.statement if row and row.judged else None
    if verdict is None or verdict.challenger is None:
        return ""
    return rate_words(said, verdict.metric, verdict.challenger, verdict.challenger_interval)


def change_text(verdict: VerdictStatement, language: Texts | None = None) -> str:
    """Return how a version differs from the champion that its verdict compares with; empty for a first version."""
    if verdict.against is None or verdict.delta is None:
        return ""
    said = language or texts("en")
    values = {
        "metric": metric_words(said, verdict.metric),
        "change": points_words(said, verdict.delta),
        "version": verdict.against.version,
    }
    low, high = verdict.interval or (None, None)
    if low is None or high is None:
        return said.say("%(metric)s %(change)s against v%(version)s; its interval is unknown", **values)
    values |= {"low": points_words(said, low), "high": points_words(said, high)}
    if high < 0:
        return said.say(
            "%(metric)s %(change)s against v%(version)s: fewer errors, between %(low)s and %(high)s with 95 %% "
            "certainty",
            **values,
        )
    if low > 0:
        return said.say(
            "%(metric)s %(change)s against v%(version)s: more errors, between %(low)s and %(high)s with 95 %% "
            "certainty",
            **values,
        )
    return said.say(
        "%(metric)s %(change)s against v%(version)s: no clear difference, between %(low)s and %(high)s with 95 %% "
        "certainty",
        **values,
    )


def version_cost(version: AdapterVersion, metrics: Mapping[str, Mapping[str, float]]) -> Cost:
    """Return what the training of a version cost, from the metrics of the runs by run id."""
    found = metrics.get(version.run_id, {})
    names = ("train_seconds", "trainable_parameters", "backbone_parameters", "bundle_bytes")
    return Cost(*(found.get(name) for name in names))


def _before(said: Texts, version: AdapterVersion, metrics: Mapping[str, Mapping[str, float]]) -> Before | None:
    found = metrics.get(version.run_id, {})
    metric = next((name.removeprefix(BEFORE) for name in sorted(found) if name.startswith(BEFORE)), None)
    if not metric:
        return None
    rate = found[BEFORE + metric]
    return Before(metric, rate, found.get(metric), version.version, rate_words(said, metric, rate))


def _risks(said: Texts, page: SlotPage, row: VersionRow) -> list[Risk]:
    if row.judged is None:
        return [Risk("unknown", said.say("the gate has not measured it: nothing is known of its errors"))]
    found = [Risk("bad", said.say("serves without a passed verdict, by an override"))] if row.override else []
    if row.stale:
        found.append(Risk("unknown", said.say("its verdict compares with an older champion")))
    return [*found, *_verdict_risks(said, row.judged.statement)]


def _verdict_risks(said: Texts, verdict: VerdictStatement) -> list[Risk]:
    details = verdict.details
    if details is None:
        return [Risk("unknown", said.say("this verdict of an old release does not list its checks"))]
    parts = (*details.checks, *details.slices)
    found = [Risk("bad", said.say("not passed: %(name)s", name=one.name)) for one in details.checks if _failed(one)]
    found += [Risk("bad", _worse(said, one)) for one in details.slices if _failed(one)]
    open_checks = [one for one in details.checks if one.outcome == "undecided"]
    found += [Risk("unknown", said.say("not decided: %(name)s", name=one.name)) for one in open_checks]
    found += [Risk("unknown", _too_little(said, one)) for one in details.slices if one.outcome == "undecided"]
    if details.closed_set:
        text = said.say("speakers of the golden set are in the training data: other people may do worse")
        found.append(Risk("unknown", text))
    if passed := sum(one.outcome == "passed" for one in parts):
        found.append(Risk("good", said.say("%(passed)s of %(all)s checks passed", passed=passed, all=len(parts))))
    return found


def _failed(part: NamedOutcome) -> bool:
    return part.outcome == "failed"


def _worse(said: Texts, part: NamedOutcome) -> str:
    if part.kind == "group":
        return said.say("worse for the group %(name)s", name=part.name)
    return said.say("worse in the condition %(name)s", name=part.name)


def _too_little(said: Texts, part: NamedOutcome) -> str:
    if part.kind == "group":
        return said.say("too little audio of the group %(name)s", name=part.name)
    return said.say("too little audio of the condition %(name)s", name=part.name)


def _next_step(said: Texts, page: SlotPage, champion: VersionRow | None, contender: VersionRow | None) -> str:
    say = said.say
    serves = say("v%(version)s serves", version=champion.version.version) if champion else say("nothing serves")
    if page.override and not page.override.in_force:
        return say("An override of v%(version)s waits for a second person.", version=page.override.version)
    if contender is None:
        again = f"elp retrain {page.slot} DELIVERY"
        return say(
            "Nothing to decide: %(serves)s. New audio makes a challenger: %(command)s", serves=serves, command=again
        )
    name, gate = f"v{contender.version.version}", f"elp gate {page.slot}"
    if contender.judged is None:
        return say(
            "%(name)s was not gated: %(command)s. Until then, %(serves)s.", name=name, command=gate, serves=serves
        )
    verdict = contender.judged.statement
    if verdict.outcome == "passed" and contender.stale:
        return say(
            "%(name)s passed against an older champion: gate it again with %(command)s.", name=name, command=gate
        )
    if verdict.outcome == "passed":
        return say("Decide whether %(name)s becomes champion. Until then, %(serves)s.", name=name, serves=serves)
    # the reasons are part of the signed verdict, which is in English
    reasons = verdict.details.reasons if verdict.details else ()
    reason = " " + in_english(said, f"{reasons[0].rstrip('.')}.") if reasons else ""
    if verdict.outcome == "undecided":
        text = say("%(name)s is undecided, so %(serves)s: more test audio would decide.", name=name, serves=serves)
        return text + reason
    return say("%(name)s failed, so %(serves)s.", name=name, serves=serves) + reason

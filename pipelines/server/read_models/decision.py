"""What a person who decides reads of a slot: champion, challenger, cost, risk and the next step, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.number_text import BEFORE, in_words, metric_title, points
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.verdict_statement import NamedOutcome, VerdictStatement
from pipelines.server.read_models.grid import find_contender
from pipelines.server.read_models.slot_page import SlotPage, VersionRow

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

    @property
    def words(self) -> str:
        """The rate in a sentence."""
        return in_words(self.metric, self.untrained)


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


def find_decision(page: SlotPage, metrics: Mapping[str, Mapping[str, float]]) -> Decision:
    """Return the cards of a slot; `metrics` are those of the training runs by run id."""
    champion = page.row(page.champion.version) if page.champion else None
    found = find_contender([row.version for row in page.rows], page.champion)
    contender = page.row(found.version) if found else None
    about = contender or champion
    return Decision(
        champion=champion,
        contender=contender,
        champion_words=_words(champion),
        contender_words=_words(contender),
        change=change_text(contender.judged.statement) if contender and contender.judged else "",
        cost=version_cost(about.version, metrics) if about else None,
        risks=tuple(_risks(page, about)) if about else (),
        next_step=_next_step(page, champion, contender),
        before=_before(about.version, metrics) if about else None,
    )


def _words(row: VersionRow | None) -> str:
    verdict = row.judged.statement if row and row.judged else None
    if verdict is None or verdict.challenger is None:
        return ""
    return in_words(verdict.metric, verdict.challenger, verdict.challenger_interval)


def change_text(verdict: VerdictStatement) -> str:
    """Return how a version differs from the champion that its verdict compares with; empty for a first version."""
    if verdict.against is None or verdict.delta is None:
        return ""
    text = f"{metric_title(verdict.metric)} {points(verdict.delta)} against v{verdict.against.version}"
    low, high = verdict.interval or (None, None)
    if low is None or high is None:
        return f"{text}; its interval is unknown"
    sense = "fewer errors" if high < 0 else "more errors" if low > 0 else "no clear difference"
    return f"{text}: {sense}, between {points(low)} and {points(high)} with 95 % certainty"


def version_cost(version: AdapterVersion, metrics: Mapping[str, Mapping[str, float]]) -> Cost:
    """Return what the training of a version cost, from the metrics of the runs by run id."""
    found = metrics.get(version.run_id, {})
    names = ("train_seconds", "trainable_parameters", "backbone_parameters", "bundle_bytes")
    return Cost(*(found.get(name) for name in names))


def _before(version: AdapterVersion, metrics: Mapping[str, Mapping[str, float]]) -> Before | None:
    found = metrics.get(version.run_id, {})
    metric = next((name.removeprefix(BEFORE) for name in sorted(found) if name.startswith(BEFORE)), None)
    return (metric and Before(metric, found[BEFORE + metric], found.get(metric), version.version)) or None


def _risks(page: SlotPage, row: VersionRow) -> list[Risk]:
    if row.judged is None:
        return [Risk("unknown", "the gate has not measured it: nothing is known of its errors")]
    verdict = row.judged.statement
    found = [Risk("bad", "serves without a passed verdict, by an override")] if row.override else []
    if row.stale:
        found.append(Risk("unknown", "its verdict compares with an older champion"))
    return [*found, *_verdict_risks(verdict)]


def _verdict_risks(verdict: VerdictStatement) -> list[Risk]:
    details = verdict.details
    if details is None:
        return [Risk("unknown", "this verdict of an old release does not list its checks")]
    found = [Risk("bad", f"not passed: {one.name}") for one in details.checks if one.outcome == "failed"]
    found += [Risk("bad", f"worse {_where(one)} {one.name}") for one in details.slices if one.outcome == "failed"]
    found += [Risk("unknown", f"not decided: {one.name}") for one in details.checks if one.outcome == "undecided"]
    open_slices = [one for one in details.slices if one.outcome == "undecided"]
    found += [Risk("unknown", f"too little audio of the {one.kind or 'condition'} {one.name}") for one in open_slices]
    if details.closed_set:
        found.append(Risk("unknown", "speakers of the golden set are in the training data: other people may do worse"))
    passed = sum(one.outcome == "passed" for one in (*details.checks, *details.slices))
    if passed:
        found.append(Risk("good", f"{passed} of {len(details.checks) + len(details.slices)} checks passed"))
    return found


def _where(part: NamedOutcome) -> str:
    return "for the group" if part.kind == "group" else "in the condition"


def _next_step(page: SlotPage, champion: VersionRow | None, contender: VersionRow | None) -> str:
    serves = f"v{champion.version.version} serves" if champion else "nothing serves"
    if page.override and not page.override.in_force:
        return f"An override of v{page.override.version} waits for a second person."
    if contender is None:
        return f"Nothing to decide: {serves}. New audio makes a challenger: elp retrain {page.slot} DELIVERY"
    name = f"v{contender.version.version}"
    if contender.judged is None:
        return f"{name} was not gated: elp gate {page.slot}. Until then, {serves}."
    verdict = contender.judged.statement
    if verdict.outcome == "passed" and contender.stale:
        return f"{name} passed against an older champion: gate it again with elp gate {page.slot}."
    if verdict.outcome == "passed":
        return f"Decide whether {name} becomes champion. Until then, {serves}."
    reason = f" {verdict.details.reasons[0].rstrip('.')}." if verdict.details and verdict.details.reasons else ""
    if verdict.outcome == "undecided":
        return f"{name} is undecided, so {serves}: more test audio would decide.{reason}"
    return f"{name} failed, so {serves}.{reason}"

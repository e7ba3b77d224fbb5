"""The texts of a version in the MLflow UI: its tags and its description, written from its lineage and its verdict."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from elp_core.languages import units_text
from pipelines.number_text import metric_title, percent, points
from pipelines.registry.adapter_version import Tags, report_address
from pipelines.registry.lineage import BackboneOrigin, LearnedFrom, Lineage, TrainedLanguage, normaliser_text

if TYPE_CHECKING:
    from pipelines.registry.verdict_statement import ReportedRate, Span, VerdictStatement

_UNITS = 40
"""Units that are listed; a delivery of Japanese can bring hundreds."""
_FLAG = "🔴 **Override, no verdict that counts:**"
_PROMOTED = "**Promoted:**"
_LINEAGE = (
    ("dataset", Tags.DATASET),
    ("Git revision of the data", Tags.REVISION),
    ("DVC hash", Tags.DVC_HASH),
    ("golden set", Tags.GOLDEN),
    ("backbone", Tags.BACKBONE),
    ("fingerprint", Tags.FINGERPRINT),
    ("bundle", Tags.BUNDLE),
    ("learned from", Tags.PARENTS),
    ("training key", Tags.KEY),
    ("code", Tags.CODE),
    ("seed", Tags.SEED),
    ("Prefect flow run", Tags.FLOW_RUN),
)


_HEADLINES = {"passed": "Passed the gate", "failed": "Refused by the gate", "undecided": "Undecided at the gate"}


def version_tags(lineage: Lineage, bundle_digest: str, metric: str, value: float) -> dict[str, str]:
    """Return the tags of a version at its registration, from its lineage and its validation metric."""
    # the server writes the tags that claim a decision (verdict, status, golden set), from signed statements
    return {
        Tags.METRIC: metric,
        Tags.VALUE: f"{value:.4f}",
        Tags.DATASET: lineage.dataset.tag,
        Tags.SEED: str(lineage.seed),
        Tags.DIRTY: {True: "yes", False: "no", None: "unknown"}[lineage.code.dirty],
        Tags.BACKBONE: lineage.backbone.id,
        Tags.FLOW_RUN: lineage.flow_run,
        Tags.CODE: lineage.code.revision or lineage.code.digest,
        Tags.REVISION: lineage.dataset.revision,
        Tags.DVC_HASH: lineage.dataset.dvc_hash,
        Tags.KEY: lineage.key,
        Tags.BUNDLE: bundle_digest,
        Tags.FINGERPRINT: lineage.backbone.fingerprint,
        **({Tags.PARENTS: parents} if (parents := parents_text(lineage.learned)) else {}),
    }


def parents_text(learned: Sequence[LearnedFrom]) -> str:
    """Return the adapters that one learned from as its tag has them, such as ``plant-a/asr v3 (init)``."""
    return ", ".join(f"{one.name} ({one.role})" for one in learned)


def verdict_headline(verdict: VerdictStatement) -> str:
    """Return one sentence: ``Passed the gate: WER 8.00 % on the golden set (first version)``, for example."""
    if verdict.page:
        return verdict.page.headline
    metric, against = metric_title(verdict.metric), verdict.against
    compared = f"champion v{against.version} {_share(verdict.champion)}" if against else "first version"
    return f"{_HEADLINES[verdict.outcome]}: {metric} {_share(verdict.challenger)} on the golden set ({compared})."


def verdict_rows(verdict: VerdictStatement) -> list[tuple[str, str]]:
    """Return the rows of a verdict's table: name and value, the outcome first."""
    if verdict.page:
        return list(verdict.page.rows)
    details, metric, against = verdict.details, metric_title(verdict.metric), verdict.against
    assert details is not None
    rows = [
        ("verdict", f"**{verdict.outcome}**"),
        (metric, _measured(verdict.challenger, verdict.challenger_interval)),
    ]
    if against and details.champion_interval:
        rows.append(
            (f"{metric} of champion v{against.version}", _measured(verdict.champion, details.champion_interval))
        )
    if against and verdict.interval:
        low, high = (points(math.inf if bound is None else bound) for bound in verdict.interval)
        rows.append(("difference", f"{points(_number(verdict.delta))} ({low} … {high})"))
        rows.append(("allowed difference", points(details.margin)))
    rows += [(f"{metric_title(one.metric)}, reported only", _compared(one)) for one in verdict.also]
    rows += [("absolute limit", percent(details.limit)), ("golden clips", str(details.clips))]
    if verdict.normaliser:
        rows.append(("normaliser of the transcripts", normaliser_text(verdict.normaliser)))
    if details.closed_set:
        rows.append(("closed set", "speakers of the golden set were in the training data"))
    rows += [(f"{found.kind or 'condition'} {found.name}", found.outcome) for found in details.slices]
    rows += [("why", reason) for reason in details.reasons]
    report = posixpath.join(posixpath.dirname(verdict.evidence.path), "report.html")
    return [*rows, ("evidence", f"`{report}` in the run's artifacts")]


def report_row(verdict: VerdictStatement) -> tuple[str, str]:
    """Return the row with the link to the gate's report in the console."""
    # relative: the server can have a prefix, and MLflow's pages are all at its root
    return "report", f"[of the gate]({report_address('', verdict.slot, verdict.version).lstrip('/')})"


def language_rows(language: TrainedLanguage) -> list[tuple[str, str]]:
    """Return the rows on the language and the units of a head; none for English letters, the default."""
    if not language.code:
        return []
    rows = [("language", language.code), ("units of the head", units_text(language.size, language.kind))]
    if language.normaliser:
        rows.append(("normaliser of the transcripts", normaliser_text(language.normaliser)))
    if language.parent:
        rows.append(("new units", shown_units(language.added)))
        rows.append(("head started from", f"`{language.parent}`"))
    return rows


def licence_rows(origin: BackboneOrigin) -> list[tuple[str, str]]:
    """Return the rows on licence, source and pre-training data of the backbone; without a record, one that says so."""
    if not origin.licence:
        return [("licence of the backbone", "unknown")]
    commercial = "" if origin.commercial == "allowed" else f", commercial use {origin.commercial}"
    return [
        ("licence of the backbone", code_span(origin.licence) + commercial),
        ("source of the backbone", code_span(origin.source)),
        ("pre-training data", code_span(origin.pretraining)),
    ]


def start_rows(lineage: Lineage) -> list[tuple[str, str]]:
    """Return the rows on what a training learned from in addition to its clips; none for a fresh start."""
    rows = [(f"learned from ({one.role})", f"{one.name}, `{one.bundle}`") for one in lineage.learned]
    if lineage.start.why:
        rows.append((f"started fresh, not from {lineage.start.init}", code_span(lineage.start.why)))
    if lineage.start.head:
        rows.append(("new head", code_span(lineage.start.head)))
    return rows


def shown_units(units: Sequence[str]) -> str:
    """Return units as a list for people: the first ones, and the number of the others."""
    more = f" and {len(units) - _UNITS} more" if len(units) > _UNITS else ""
    return " ".join("␣" if unit == " " else unit for unit in units[:_UNITS]) + more


def describe_version(headline: str, rows: Sequence[tuple[str, str]], tags: Mapping[str, str]) -> str:
    """Return Markdown: a sentence, a table of the verdict and the metrics, and the lineage from the version's tags."""
    # the list of versions shows the first line as plain text
    if headline.startswith(("#", "|", "-", "*")):
        raise ValueError(f"the description would begin with markup: {headline[:40]!r}")
    lineage = [(name, code_span(tags[tag])) for name, tag in _LINEAGE if tags.get(tag)]
    if tags.get(Tags.DIRTY) == "yes":
        lineage.append(("uncommitted code", "yes: the code revision alone does not make it again"))
    return f"{headline}\n\n{_table('result', rows)}\n\n**Lineage**\n\n{_table('from', lineage)}\n"


def flagged(description: str, override: str) -> str:
    """Return the description with a red first line about an override, or without that line if `override` is empty."""
    if description.startswith(_FLAG):
        description = description.partition("\n\n")[2]
    line = " ".join(override.split())
    return f"{_FLAG} {line}\n\n{description}" if line else description


def promoted(description: str, tags: Mapping[str, str]) -> str:
    """Return the description with a paragraph on the last promotion that a version's tags name, after the headline."""
    paragraphs = [one for one in _paragraphs(description) if not one.startswith(_PROMOTED)]
    if line := _promotion(tags):
        paragraphs.insert(2 if description.startswith(_FLAG) else 1, line)
    return "\n\n".join(paragraphs)


def shows_value(description: str, tag: str, tags: Mapping[str, str]) -> bool:
    """Return whether a description shows the value that a version's tags give one of them."""
    if tag in (Tags.PROMOTED_AT, Tags.PROMOTED_BY, Tags.PROMOTED_WHY, Tags.PREDECESSOR):
        line = _promotion(tags)
        return bool(line) and line in _paragraphs(description)
    names = [name for name, of in _LINEAGE if of == tag]
    return any(_row(name, code_span(tags[tag])) in description.split("\n") for name in names)


def code_span(text: str) -> str:
    """Return text as Markdown that shows it as it is, in one line: names and reasons come from users."""
    plain = " ".join(text.split()).replace("`", "'")
    return f"`{plain}`"


def _paragraphs(text: str) -> list[str]:
    return [one for one in text.replace("\r\n", "\n").split("\n\n") if one]


def _promotion(tags: Mapping[str, str]) -> str:
    if not tags.get(Tags.PROMOTED_AT):
        return ""
    before = tags.get(Tags.PREDECESSOR)
    shown = [code_span(tags.get(tag) or "-") for tag in (Tags.PROMOTED_AT, Tags.PROMOTED_BY, Tags.PROMOTED_WHY)]
    after = f", after version {before}" if before else ", the first champion"
    return f"{_PROMOTED} {shown[0]} by {shown[1]}{after}. Reason: {shown[2]}"


def _row(name: str, value: str) -> str:
    # a bar in a value would end its cell
    return f"| {name} | {value.replace('|', '/')} |"


def _table(head: str, rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join([f"| {head} | |", "|---|---|", *(_row(name, value) for name, value in rows)])


def _compared(rate: ReportedRate) -> str:
    before = "" if rate.champion is None else f" (champion {percent(rate.champion)})"
    return percent(rate.challenger) + before


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _share(value: float | None) -> str:
    return percent(_number(value))


def _measured(value: float | None, interval: Span | None) -> str:
    low, high = interval or (None, None)
    low = 0.0 if low is None else max(0.0, low)
    return f"{_share(value)} ({percent(low)} … {_share(high)})"

"""The evidence folder of a verdict, with its report for people: one self-contained HTML page in each language.

<folder>/
├── evidence.json      verdict with policy and measurements, scores of both systems by clip or trial, context
├── report.html        the same for people, self-contained
├── report.ja.html     the same in Japanese, from the same evidence
└── *.png              the report's plots
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from elp_core.files import replacing_folder
from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores, TrialScores
from pipelines.gating.compare import token_count
from pipelines.gating.evidence import EVIDENCE_FILE, Evidence
from pipelines.gating.plots import Plot, verdict_plots
from pipelines.gating.report_words import (
    errors_words,
    measured_on,
    outcome_word,
    plot_words,
    span_words,
    verdict_sentence,
)
from pipelines.html_report import language_pages, render_page
from pipelines.number_text import reported_rates
from pipelines.registry.evidence_scores import Scores
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.rate_words import metric_words, percent_words, points_words

REPORT_FILE = "report.html"
MOST_ROWS = 15
"""Rows in the table of the clips or trials with the largest errors."""
_TEMPLATE = Path(__file__).with_name("report.html")


def write_evidence_folder(folder: Path, evidence: Evidence) -> str:
    """Write the evidence folder whole or not at all, in place of one of that name; return evidence.json's SHA-256."""
    plots, content = verdict_plots(evidence), evidence.to_bytes()
    with replacing_folder(folder) as scratch:
        for plot in plots:
            (scratch / plot.file).write_bytes(plot.png)
        for name, page in language_pages(REPORT_FILE, lambda said: verdict_page(said, evidence, plots)).items():
            (scratch / name).write_text(page, encoding="utf-8")
        (scratch / EVIDENCE_FILE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def verdict_page(said: Texts, evidence: Evidence, plots: Sequence[Plot]) -> str:
    """Return the page: verdict and numbers first, then reasons, plots, conditions, largest errors, and origin."""
    verdict, scores = evidence.verdict, evidence.challenger
    limits = {name: value for name, value in asdict(verdict.policy.safety).items() if value is not None}
    tokens = int(token_count(scores)) if scores.counted in ("word", "character") else 0
    return render_page(
        _TEMPLATE,
        said,
        REPORT_FILE,
        {"percent": percent_words, "span": span_words, "word": outcome_word, "english": in_english},
        verdict=verdict,
        sentence=verdict_sentence(said, verdict),
        numbers=_numbers(said, evidence),
        measured_on=measured_on(said, verdict, tokens, scores.counted),
        pictures=[(*plot_words(said, plot, verdict), base64.b64encode(plot.png).decode("ascii")) for plot in plots],
        worst=_largest_errors(said, scores, evidence.champion),
        context=_origin(evidence),
        policy=verdict.policy,
        limits=", ".join(f"{name} {value}" for name, value in limits.items()),
        compared=verdict.measured.interference.compared if verdict.measured else (),
        title=evidence.context.slot or said.say("gate"),
        spoken_language=verdict.normaliser.code if verdict.normaliser else "",
    )


def _numbers(said: Texts, evidence: Evidence) -> list[tuple[str, str, str]]:
    """Return rows of name, value, interval."""
    verdict, context = evidence.verdict, evidence.context
    metric = metric_words(said, verdict.metric)
    rows = [
        (
            said.say("%(metric)s of the challenger %(version)s", metric=metric, version=context.challenger).strip(),
            percent_words(said, verdict.challenger),
            span_words(said, verdict.challenger_interval),
        )
    ]
    rows += [
        (said.say("%(metric)s of the challenger, reported only", metric=name), value, "")
        for name, value in _further(said, context.challenger_also)
    ]
    if verdict.champion is not None and verdict.delta is not None and verdict.interval is not None:
        champion = said.say("%(metric)s of the champion %(version)s", metric=metric, version=context.champion).strip()
        rows.append((champion, percent_words(said, verdict.champion), span_words(said, verdict.champion_interval)))
        rows += [
            (said.say("%(metric)s of the champion, reported only", metric=name), value, "")
            for name, value in _further(said, context.champion_also)
        ]
        interval = span_words(said, verdict.interval, signed=True)
        rows.append((said.say("difference"), points_words(said, verdict.delta), interval))
    return rows


def _further(said: Texts, also: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return name and value of the error rates that were measured and decide nothing."""
    return [(metric_words(said, name), percent_words(said, value)) for name, value in reported_rates(also).items()]


def _largest_errors(said: Texts, scores: Scores, champion: Scores | None) -> dict[str, Any] | None:
    """Return head and rows of the worst clips (most new errors first) or trials (farthest on the wrong side)."""
    if isinstance(scores, TrialScores):
        return _worst_trials(said, scores)
    before = champion.errors if isinstance(champion, ClipScores) else np.zeros_like(scores.errors)
    order = np.lexsort((-scores.errors, before - scores.errors))
    picked = [int(i) for i in order if scores.errors[i] > 0][:MOST_ROWS]
    if not picked:
        return None
    wrong, say = errors_words(said, scores.counted), said.say
    head = [say("clip"), say("speaker"), say("condition"), say("reference"), say("challenger"), wrong]
    columns = (scores.speakers, scores.conditions, scores.references, scores.hypotheses)
    rows = [[scores.ids[i][:12], *(column[i] for column in columns), _share(said, scores, i)] for i in picked]
    if isinstance(champion, ClipScores):
        head += [say("champion"), wrong]
        for row, i in zip(rows, picked, strict=True):
            row += [champion.hypotheses[i], str(champion.errors[i])]
    # the columns with what a person or a system said
    spoken = [3, 4, 6]
    return {"title": say("Clips with the most errors"), "head": head, "rows": rows, "spoken": spoken}


def _share(said: Texts, scores: ClipScores, i: int) -> str:
    return said.say("%(errors)s of %(tokens)s", errors=scores.errors[i], tokens=scores.tokens[i])


def _worst_trials(said: Texts, scores: TrialScores) -> dict[str, Any] | None:
    threshold = eer(scores.scores, scores.targets).threshold
    wrong_by = np.where(scores.targets, threshold - scores.scores, scores.scores - threshold)
    picked = [int(i) for i in np.argsort(-wrong_by, kind="stable")[:MOST_ROWS] if wrong_by[i] > 0]
    if not picked:
        return None

    def clip(c: int) -> str:
        return f"{scores.ids[c][:12]} · {scores.speakers[c]} · {scores.conditions[c]}"

    rows = [
        [
            said.say("one speaker") if scores.targets[i] else said.say("two speakers"),
            f"{scores.scores[i]:.3f}",
            clip(scores.a[i]),
            clip(scores.b[i]),
        ]
        for i in picked
    ]
    heading = said.say(
        "Trials with the largest errors (the two error rates are equal at a score of %(score)s)",
        score=f"{threshold:.3f}",
    )
    head = [said.say("truth"), said.say("score"), said.say("first clip"), said.say("second clip")]
    return {"title": heading, "head": head, "rows": rows, "spoken": []}


def _origin(evidence: Evidence) -> list[tuple[str, str]]:
    """Return the rows of the context, without the rates that the first table has."""
    context = asdict(evidence.context)
    for also in (context["challenger_also"], context["champion_also"]):
        for name in reported_rates(also):
            del also[name]
    return _flat(context)


def _flat(context: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested values as rows of name and text, without the empty ones."""
    rows: list[tuple[str, str]] = []
    for key, value in context.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key} ")
        elif value not in ("", None):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            rows.append((f"{prefix}{key}".replace("_", " "), text))
    return rows

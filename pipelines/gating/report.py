"""The evidence folder of a verdict, with its report for people: one self-contained HTML page.

<folder>/
├── evidence.json      verdict with policy and measurements, scores of both systems by clip or trial, context
├── report.html        the same for people, self-contained
└── *.png              the report's plots
"""

import base64
import hashlib
import math
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
from pipelines.html_report import render_page
from pipelines.number_text import count, errors_title, metric_title, percent, points, reported_rates
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.verdict import Verdict

REPORT_FILE = "report.html"
MOST_ROWS = 15
"""Rows in the table of the clips or trials with the largest errors."""
_TEMPLATE = Path(__file__).with_name("report.html")
_SENTENCES = {
    "passed": "This adapter may be promoted.",
    "failed": "This adapter must not be promoted.",
    "undecided": "The golden set is too small to decide; the adapter is not promoted.",
}


def write_evidence_folder(folder: Path, evidence: Evidence) -> str:
    """Write the evidence folder whole or not at all, in place of one of that name; return evidence.json's SHA-256."""
    plots, content = verdict_plots(evidence), evidence.to_bytes()
    with replacing_folder(folder) as scratch:
        for plot in plots:
            (scratch / plot.file).write_bytes(plot.png)
        (scratch / REPORT_FILE).write_text(verdict_page(evidence, plots), encoding="utf-8")
        (scratch / EVIDENCE_FILE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def verdict_page(evidence: Evidence, plots: Sequence[Plot]) -> str:
    """Return the page: verdict and numbers first, then reasons, plots, conditions, largest errors, and origin."""
    verdict = evidence.verdict
    limits = {name: value for name, value in asdict(verdict.policy.safety).items() if value is not None}
    return render_page(
        _TEMPLATE,
        {"percent": lambda share: "–" if share is None else percent(share), "span": _span, "counted": count},
        verdict=verdict,
        sentence=_sentence(verdict),
        numbers=_numbers(evidence),
        pictures=[(plot, base64.b64encode(plot.png).decode("ascii")) for plot in plots],
        worst=_largest_errors(evidence.challenger, evidence.champion),
        context=_origin(evidence),
        policy=verdict.policy,
        limits=", ".join(f"{name} {value}" for name, value in limits.items()),
        compared=verdict.measured.interference.compared if verdict.measured else (),
        title=evidence.context.slot or "gate",
        tokens=_tokens(evidence.challenger),
        language=verdict.normaliser.code if verdict.normaliser else "",
    )


def _tokens(scores: Scores) -> str:
    """Return the number of words or characters behind a recogniser's metric; empty for other tasks."""
    counted = scores.counted
    return count(int(token_count(scores)), counted) if counted in ("word", "character") else ""


def _sentence(verdict: Verdict) -> str:
    if verdict.outcome == "undecided" and any(check.undecided for check in verdict.checks):
        return "A check is undecided; the adapter is not promoted."
    return _SENTENCES[verdict.outcome]


def _numbers(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Return rows of name, value, interval."""
    verdict, context = evidence.verdict, evidence.context
    metric = metric_title(verdict.metric)
    challenger = f"{metric} of the challenger {context.challenger}".strip()
    rows = [(challenger, percent(verdict.challenger), _span(verdict.challenger_interval))]
    rows += [
        (f"{name} of the challenger, reported only", value, "") for name, value in _further(context.challenger_also)
    ]
    if verdict.champion is not None and verdict.delta is not None and verdict.interval is not None:
        champion = f"{metric} of the champion {context.champion}".strip()
        rows.append((champion, percent(verdict.champion), _span(verdict.champion_interval)))
        rows += [
            (f"{name} of the champion, reported only", value, "") for name, value in _further(context.champion_also)
        ]
        rows.append(("difference", points(verdict.delta), _span(verdict.interval, signed=True)))
    return rows


def _further(also: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return name and value of the error rates that were measured and decide nothing."""
    return [(metric_title(name), percent(value)) for name, value in reported_rates(also).items()]


def _largest_errors(scores: Scores, champion: Scores | None) -> dict[str, Any] | None:
    """Return head and rows of the worst clips (most new errors first) or trials (farthest on the wrong side)."""
    if isinstance(scores, TrialScores):
        return _worst_trials(scores)
    before = champion.errors if isinstance(champion, ClipScores) else np.zeros_like(scores.errors)
    order = np.lexsort((-scores.errors, before - scores.errors))
    picked = [int(i) for i in order if scores.errors[i] > 0][:MOST_ROWS]
    if not picked:
        return None
    wrong = errors_title(scores.counted)
    head = ["clip", "speaker", "condition", "reference", "challenger", wrong]
    columns = (scores.speakers, scores.conditions, scores.references, scores.hypotheses)
    rows = [
        [scores.ids[i][:12], *(column[i] for column in columns), f"{scores.errors[i]} of {scores.tokens[i]}"]
        for i in picked
    ]
    if isinstance(champion, ClipScores):
        head += ["champion", wrong]
        for row, i in zip(rows, picked, strict=True):
            row += [champion.hypotheses[i], str(champion.errors[i])]
    spoken = [place for place, name in enumerate(head) if name in ("reference", "challenger", "champion")]
    return {"title": "Clips with the most errors", "head": head, "rows": rows, "spoken": spoken}


def _worst_trials(scores: TrialScores) -> dict[str, Any] | None:
    threshold = eer(scores.scores, scores.targets).threshold
    wrong_by = np.where(scores.targets, threshold - scores.scores, scores.scores - threshold)
    picked = [int(i) for i in np.argsort(-wrong_by, kind="stable")[:MOST_ROWS] if wrong_by[i] > 0]
    if not picked:
        return None

    def clip(c: int) -> str:
        return f"{scores.ids[c][:12]} · {scores.speakers[c]} · {scores.conditions[c]}"

    rows = [
        [
            "one speaker" if scores.targets[i] else "two speakers",
            f"{scores.scores[i]:.3f}",
            clip(scores.a[i]),
            clip(scores.b[i]),
        ]
        for i in picked
    ]
    heading = f"Trials with the largest errors (the two error rates are equal at a score of {threshold:.3f})"
    return {"title": heading, "head": ["truth", "score", "first clip", "second clip"], "rows": rows, "spoken": []}


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


def _span(bounds: tuple[float, float] | None, signed: bool = False) -> str:
    if bounds is None:
        return "–"
    if not all(math.isfinite(bound) for bound in bounds):
        return "unknown"
    if signed:
        return f"{100 * bounds[0]:+.2f} … {100 * bounds[1]:+.2f}".replace("-", "−")
    return f"{100 * max(0.0, bounds[0]):.2f} … {100 * bounds[1]:.2f} %"

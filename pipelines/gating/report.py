"""The verdict as one self-contained HTML page."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores, TrialScores, title
from pipelines.gating.evidence import Evidence
from pipelines.gating.plots import Plot
from pipelines.html_report import render_page
from pipelines.number_text import percent, points
from pipelines.registry.verdict import Verdict

WORST = 15
"""Rows in the table of clips or trials that went worst."""
_TEMPLATE = Path(__file__).with_name("report.html")
_SENTENCES = {
    "passed": "This adapter may be promoted.",
    "failed": "This adapter must not be promoted.",
    "undecided": "The golden set is too small to tell; the adapter is not promoted.",
}


def render(evidence: Evidence, plots: Sequence[Plot]) -> str:
    """The page: verdict and numbers first, then why, pictures, conditions, worst cases, and where it came from."""
    verdict = evidence.verdict
    pictures = [(plot, base64.b64encode(plot.png).decode("ascii")) for plot in plots]
    return render_page(
        _TEMPLATE,
        {"percent": _percent, "span": _span},
        verdict=verdict,
        sentence=_sentence(verdict),
        numbers=_numbers(evidence),
        pictures=pictures,
        worst=_worst(evidence),
        context=_flat(evidence.context),
        policy=verdict.policy,
        limits=", ".join(
            f"{name} {value}" for name, value in asdict(verdict.policy.safety).items() if value is not None
        ),
        neighbours=verdict.measured.neighbourhood.compared if verdict.measured else (),
        title=str(evidence.context.get("slot", "gate")),
    )


def _sentence(verdict: Verdict) -> str:
    if verdict.outcome == "undecided" and any(check.undecided for check in verdict.checks):
        return "A check holds it back; the adapter is not promoted."
    return _SENTENCES[verdict.outcome]


def _numbers(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Rows of name, value, interval."""
    verdict, metric = evidence.verdict, title(evidence.verdict.metric)
    names = evidence.context
    rows = [
        (
            f"{metric} of the challenger {names.get('challenger', '')}".strip(),
            percent(verdict.challenger),
            _span(verdict.challenger_interval),
        )
    ]
    if verdict.champion is not None and verdict.delta is not None and verdict.interval is not None:
        champion = f"{metric} of the champion {names.get('champion', '')}".strip()
        rows.append((champion, percent(verdict.champion), _span(verdict.champion_interval)))
        rows.append(("difference", points(verdict.delta), _span(verdict.interval, signed=True)))
    return rows


def _worst(evidence: Evidence) -> dict[str, Any] | None:
    """Head and rows of the worst clips (most new errors first) or trials (farthest on the wrong side)."""
    if isinstance(evidence.challenger, ClipScores):
        return _worst_clips(evidence.challenger, evidence.champion)
    return _worst_trials(evidence.challenger)


def _worst_clips(scores: ClipScores, champion: Any) -> dict[str, Any] | None:
    before = champion.errors if isinstance(champion, ClipScores) else np.zeros_like(scores.errors)
    order = np.lexsort((-scores.errors, before - scores.errors))
    picked = [int(i) for i in order if scores.errors[i] > 0][:WORST]
    if not picked:
        return None
    head = ["clip", "speaker", "condition", "reference", "challenger", "errors"]
    rows = [
        [
            scores.ids[i][:12],
            scores.speakers[i],
            scores.conditions[i],
            scores.references[i],
            scores.hypotheses[i],
            f"{scores.errors[i]} of {scores.tokens[i]}",
        ]
        for i in picked
    ]
    if isinstance(champion, ClipScores):
        head += ["champion", "errors"]
        for row, i in zip(rows, picked, strict=True):
            row += [champion.hypotheses[i], str(champion.errors[i])]
    return {"title": "Clips that went worst", "head": head, "rows": rows}


def _worst_trials(scores: TrialScores) -> dict[str, Any] | None:
    threshold = eer(scores.scores, scores.targets).threshold
    wrong_by = np.where(scores.targets, threshold - scores.scores, scores.scores - threshold)
    picked = [int(i) for i in np.argsort(-wrong_by, kind="stable")[:WORST] if wrong_by[i] > 0]
    if not picked:
        return None
    rows = [
        [
            "one speaker" if scores.targets[i] else "two speakers",
            f"{scores.scores[i]:.3f}",
            *(
                f"{scores.ids[c][:12]} · {scores.speakers[c]} · {scores.conditions[c]}"
                for c in (scores.a[i], scores.b[i])
            ),
        ]
        for i in picked
    ]
    title = f"Trials that went worst (the two error rates meet at a score of {threshold:.3f})"
    return {"title": title, "head": ["truth", "score", "first clip", "second clip"], "rows": rows}


def _flat(context: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in context.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key} ")
        elif value not in ("", None):
            rows.append((name, str(value)))
    return rows


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _span(bounds: tuple[float, float] | None, signed: bool = False) -> str:
    if bounds is None:
        return "–"
    if not all(math.isfinite(bound) for bound in bounds):
        return "unknown"
    if signed:
        return f"{100 * bounds[0]:+.2f} … {100 * bounds[1]:+.2f}".replace("-", "−")
    return f"{100 * max(0.0, bounds[0]):.2f} … {100 * bounds[1]:.2f} %"

"""The gate's work on a running server without a model: real scores, real evidence with its plots, a signed verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elp_core.languages import NormaliserId
from elp_core.metrics.scores import ClipScores
from pipelines.gating.decide import decide_verdict
from pipelines.gating.evidence import Evidence, EvidenceContext
from pipelines.gating.report import write_evidence_folder
from pipelines.registry.policies import GatePolicy
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.verdict_statement import EvidenceFile, ReportedRate, VerdictStatement
from tests.support.rest import Rest
from tests.support.scores import clips
from tests.support.versions_by_hand import Made, state, upload, verdict_on

POLICY = GatePolicy(limit=0.5, resamples=500)
CONDITIONS = ("quiet", "press", "radio")
LINES = (
    "stop belt three right <b>now</b>",
    "open the left front door",
    "lower the fork by ten",
    "call the shift lead please",
    "check oil on press four",
)
"""Five words each."""


@dataclass(frozen=True)
class Japanese:
    """How a Japanese slot is judged: characters decide, under one normaliser, and words are reported."""

    normaliser: NormaliserId

    def scores(self, scores: ClipScores) -> ClipScores:
        """The same errors of clips of five characters."""
        count = len(scores)
        said, heard = ("扉を開けて",) * count, ("扉を閉めて",) * count
        return replace(scores, metric="cer", references=said, hypotheses=heard)


def judge(
    rest: Rest,
    made: Made,
    errors: Sequence[int],
    against: tuple[Made, Sequence[int]] | None,
    keys: KeyRing,
    spoken: Japanese | None = None,
) -> VerdictStatement:
    """Judge a version that made these errors, a clip of five words each, against one that made others."""
    scores = clips(errors, speakers=8, conditions=CONDITIONS)
    champion = clips(against[1], speakers=8, conditions=CONDITIONS) if against else None
    answered = spoken.scores if spoken else _answered
    scores, champion = answered(scores), champion and answered(champion)
    normaliser = spoken.normaliser if spoken else None
    verdict = decide_verdict(scores, champion, POLICY, normaliser=normaliser)
    numbers, place = verdict.to_json(), made.evidence.rpartition("/")[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "gate"
        digest = write_evidence_folder(folder, Evidence(verdict, scores, champion, EvidenceContext(made.slot)))
        for file in folder.iterdir():
            upload(rest, f"{place}/{file.name}", file.read_bytes())
    statement = replace(
        verdict_on(made, verdict.outcome, against[0] if against else None, utc_now()),
        challenger=numbers["challenger"],
        champion=numbers["champion"],
        delta=numbers["delta"],
        interval=tuple(numbers["interval"]) if numbers["interval"] else None,
        challenger_interval=tuple(numbers["challenger_interval"]),
        evidence=EvidenceFile(f"gate/v{made.version}/evidence.json", digest),
        metric=verdict.metric,
        normaliser=normaliser,
        also=(ReportedRate("cer_reading", 0.125, None), ReportedRate("wer", 0.75, None)) if spoken else (),
    )
    state(rest, made, statement.payload, keys, "verdict")
    return statement


def _answered(scores: ClipScores) -> ClipScores:
    """The same errors in sentences: a word replaced, missing or added in turn; of two errors, the first word too."""
    said = [LINES[place % len(LINES)] for place in range(len(scores))]
    heard = [_misheard(line.split(), int(scores.errors[place]), place) for place, line in enumerate(said)]
    return replace(scores, references=tuple(said), hypotheses=tuple(heard))


def _misheard(words: list[str], errors: int, place: int) -> str:
    if errors > 0:
        words = [[*words[:2], "sea", *words[3:]], [*words[:1], *words[2:]], [*words, "and"]][place % 3]
    if errors > 1:
        words = ["top", *words[1:]]
    return " ".join(words)

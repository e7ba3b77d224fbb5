"""The gap between the worst and the best group of a key: its interval, its limit, and its place in the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elp_core.config import to_dict
from elp_core.errors import ConfigError
from elp_core.metrics.scores import ClipScores
from pipelines.gating.decide import decide_verdict
from pipelines.gating.evidence import Evidence, EvidenceContext, read_evidence
from pipelines.gating.group_gaps import group_positions, measure_gaps
from pipelines.gating.report import verdict_page
from pipelines.registry.policies import GatePolicy, policy_digest
from pipelines.registry.verdict import Verdict
from pipelines.texts.message_catalogue import texts
from tests.support.benchmark_modules import benchmark_module
from tests.support.scores import clips, trials

POLICY = GatePolicy(limit=0.5, margin=0.02, resamples=500, min_slice=30)
KANSAI, KANTO = "dialect=kansai; gender=f", "dialect=kanto; gender=m"


def grouped(rates: dict[str, float], each: int = 60, speakers: int = 10, seed: int = 0) -> ClipScores:
    """Five words a clip; each group has its speakers and its own rate of errors."""
    rng = np.random.default_rng(seed)
    errors = np.concatenate([rng.binomial(5, rate, each) for rate in rates.values()])
    scores = clips(errors)
    names = tuple(f"{group}-{n % speakers}" for group in rates for n in range(each))
    return replace(scores, speakers=names, groups=tuple(group for group in rates for _ in range(each)))


UNEVEN = grouped({KANSAI: 0.3, KANTO: 0.1}, 200)


def judge(max_gap: float | None, challenger: ClipScores = UNEVEN) -> Verdict:
    return decide_verdict(challenger, UNEVEN, replace(POLICY, max_gap=max_gap))


def test_the_worst_and_the_best_group_and_their_gap_are_in_the_verdict() -> None:
    verdict = judge(None)
    dialect, gender = verdict.gaps
    assert (dialect.key, dialect.worst, dialect.best, gender.worst) == ("dialect", "kansai", "kanto", "f")
    assert dialect.challenger == dialect.champion == pytest.approx(0.2, abs=0.03)
    assert dialect.interval is not None
    assert dialect.interval[0] < 0.2 < dialect.interval[1]
    assert dialect.sentence in verdict.reasons
    assert dialect.sentence == (
        "The error of dialect=kansai is 22.7 points above that of dialect=kanto (15.8 to 29.7); with the champion, the "
        "gap is 22.7 points"
    )
    names = {one.name: one.kind for one in verdict.slices}
    assert names == dict.fromkeys(("dialect=kansai", "dialect=kanto", "gender=f", "gender=m"), "group")
    assert not verdict.checks


@pytest.mark.parametrize(("limit", "outcome"), [(0.05, "failed"), (0.2, "undecided"), (0.5, "passed")])
def test_the_limit_is_decided_by_the_interval(limit: float, outcome: str) -> None:
    verdict = judge(limit)
    assert verdict.outcome == outcome
    assert {check.name: check.outcome for check in verdict.checks} == {
        "gap of dialect": outcome, "gap of gender": outcome,
    }  # fmt: skip
    assert ("gap of dialect" in verdict.reasons[0]) == (outcome != "passed")


def test_a_group_that_is_too_small_has_no_gap_and_a_limit_then_waits() -> None:
    few = grouped({"unit=a": 0.1, "unit=b": 0.1}, 20)
    for limit, outcome in ((None, "passed"), (0.1, "undecided")):
        (gap,) = measure_gaps(few, None, replace(POLICY, max_gap=limit), False)
        assert (gap.outcome, gap.challenger, gap.compared) == (outcome, None, 0)
        assert gap.note == "fewer than two groups of unit have 30 clips or more"


def test_one_speaker_of_a_group_shows_no_bound() -> None:
    alone = replace(UNEVEN, speakers=tuple("s" if group == KANSAI else name for name, group in _people(UNEVEN)))
    (dialect, _) = measure_gaps(alone, None, replace(POLICY, max_gap=0.01), False)
    assert (dialect.interval, dialect.outcome) == ((0.0, float("inf")), "undecided")
    assert "(the spread is unknown)" in dialect.sentence


def _people(scores: ClipScores) -> list[tuple[str, str]]:
    return list(zip(scores.speakers, scores.groups, strict=True))


def test_a_group_that_got_worse_fails_at_its_level_of_holm() -> None:
    harmed = np.where([group == KANTO for group in UNEVEN.groups], np.minimum(UNEVEN.errors + 1, 5), UNEVEN.errors)
    better = np.where([group == KANSAI for group in UNEVEN.groups], np.maximum(harmed - 1, 0), harmed)
    verdict = judge(None, replace(UNEVEN, errors=better))
    assert {one.name: one.outcome for one in verdict.slices} == {
        "dialect=kansai": "passed", "dialect=kanto": "failed", "gender=f": "passed", "gender=m": "failed",
    }  # fmt: skip
    assert verdict.reasons[0] == (
        "group dialect=kanto: worse than allowed, beyond chance over all conditions and groups"
    )


def test_a_trial_belongs_to_a_group_if_both_clips_do() -> None:
    scores = replace(trials(12, 6, 0.7), groups=tuple(f"gender={'fm'[n // 36]}" for n in range(72)))
    positions = group_positions(scores)
    assert {value: len(at) for value, at in positions["gender"].items()} == {"f": 36 * 35 // 2, "m": 36 * 35 // 2}
    (gap,) = measure_gaps(scores, scores, POLICY, False)
    assert gap.challenger == gap.champion
    assert {gap.worst, gap.best} == {"f", "m"}
    assert gap.interval == gap.champion_interval


def test_the_evidence_alone_gives_the_verdict_again(tmp_path: Path) -> None:
    verdict = judge(0.05)
    (tmp_path / "evidence.json").write_bytes(Evidence(verdict, UNEVEN, UNEVEN, EvidenceContext()).to_bytes())
    read = read_evidence(tmp_path)
    assert read.verdict == verdict
    assert read.challenger.groups == UNEVEN.groups
    assert read.recompute() == verdict
    page = verdict_page(texts("en"), read, [])
    assert "<h2>By group</h2>" in page
    assert "The error of dialect=kansai is 22.7 points above that of dialect=kanto" in page
    assert "By recording condition" not in page


def test_a_limit_without_groups_is_undecided_with_the_next_step() -> None:
    verdict = judge(0.05, replace(UNEVEN, groups=()))
    assert (verdict.outcome, [check.name for check in verdict.checks]) == ("undecided", ["gap of groups"])
    assert verdict.reasons[0].startswith("check gap of groups is undecided: the golden set has no groups")
    assert "or remove gate.max_gap" in verdict.reasons[0]


def test_without_groups_nothing_new_is_written() -> None:
    plain = replace(UNEVEN, groups=())
    content = Evidence(decide_verdict(plain, plain, POLICY), plain, plain, EvidenceContext()).to_bytes()
    assert not any(word in content for word in (b'"gaps"', b'"groups"', b'"kind": "condition"', b"max_gap"))
    assert "max_gap" not in to_dict(POLICY)
    # computed when the limit was new
    limited = "sha256:8f17a86f3f5c01d38263c3cad24e59196673ad3c9192cf053375c41b886057e3"
    assert policy_digest(GatePolicy(max_gap=0.1)) == limited
    with pytest.raises(ConfigError, match=r"max_gap is -1, expected a share from 0 to 1"):
        GatePolicy(max_gap=-1)


def test_a_gap_of_exactly_the_limit_is_seldom_decided_and_a_large_one_is() -> None:
    simulation = benchmark_module("gate_gap_simulation")
    golden = simulation.GroupedSet(3, 10, 10, 5, 0.05)
    assert simulation.gap_outcomes(golden, simulation.LIMIT, 40)["failed"] <= 0.1
    assert simulation.gap_outcomes(golden, simulation.LIMIT, 40)["passed"] <= 0.1
    assert simulation.gap_outcomes(golden, 0.35, 20)["failed"] >= 0.9

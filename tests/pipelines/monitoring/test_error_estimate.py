from __future__ import annotations

import numpy as np
import pytest

from pipelines.monitoring.block_scores import BlockScores
from pipelines.monitoring.error_estimate import estimate_error


def _world(count: int, rng: np.random.Generator, worse: float = 0.0) -> tuple[list[BlockScores], list[float]]:
    """Blocks whose error falls with their confidence."""
    error = np.clip(rng.beta(2, 10, count) + worse, 0, 1)
    confidence = 1 - error + 0.03 * rng.standard_normal(count)
    snr = 20 + rng.standard_normal(count)
    blocks = [
        BlockScores(f"{n}", (f"{n}",), {"confidence": float(c), "snr_db": float(s)})
        for n, (c, s) in enumerate(zip(confidence, snr, strict=True))
    ]
    return blocks, error.tolist()


def _recent(blocks: list[BlockScores]) -> dict[str, list[float]]:
    return {name: [block.scores[name] for block in blocks] for name in ("confidence", "snr_db")}


def test_the_estimate_is_near_and_its_interval_holds_in_nine_of_ten_cases() -> None:
    rng = np.random.default_rng(0)
    near = inside = 0
    for _ in range(40):
        blocks, errors = _world(30, rng)
        sent, true = _world(1, rng, worse=0.05)
        found = estimate_error(blocks, errors, _recent(sent))
        if found.value is None:
            continue
        near += abs(found.value - true[0]) <= 0.06
        inside += found.low <= true[0] <= found.high
    assert near >= 28
    assert inside >= 30


def test_nothing_is_known_outside_of_the_reference() -> None:
    rng = np.random.default_rng(1)
    blocks, errors = _world(30, rng)
    recent = _recent(_world(20, rng)[0])
    assert estimate_error(blocks, errors, recent).value is not None
    found = estimate_error(blocks, errors, recent | {"snr_db": [3.0] * 20})
    assert (found.value, found.reason) == (None, "snr_db is outside of the reference: 3")


def test_the_estimate_of_many_sessions_is_not_that_of_a_middle_one() -> None:
    rng = np.random.default_rng(3)
    off = []
    for _ in range(12):
        # most sessions have no error, and some have many
        error = np.where(rng.random(80) < 0.2, 0.5, 0.0)
        blocks = [
            BlockScores(f"{n}", (f"{n}",), {"confidence": 1 - e + 0.01 * float(rng.standard_normal())})
            for n, e in enumerate(error.tolist())
        ]
        found = estimate_error(
            blocks[:60], error.tolist()[:60], {"confidence": [b.scores["confidence"] for b in blocks]}
        )
        assert found.value is not None
        off.append(found.value - float(error[60:].mean()))
    assert abs(float(np.mean(off))) < 0.02


def test_nothing_is_known_if_many_sessions_are_outside_although_the_middle_one_is_not() -> None:
    rng = np.random.default_rng(4)
    blocks, errors = _world(30, rng)
    recent = _recent(_world(20, rng)[0])
    some, many = ({**recent, "snr_db": recent["snr_db"][:-count] + [3.0] * count} for count in (3, 9))
    assert estimate_error(blocks, errors, some).value is not None
    found = estimate_error(blocks, errors, many)
    assert found.value is None
    assert found.reason.startswith("snr_db of ")
    assert found.reason.endswith(" of the last 20 sessions is outside of the reference")


@pytest.mark.parametrize(
    ("size", "recent", "reason"),
    [
        (19, {"confidence": [0.8]}, "the reference has 19 blocks, 20 are needed"),
        (30, {"confidence": []}, "the site has sent no session yet"),
        (30, {"snr_db": [20.0]}, "the task has no confidence"),
    ],
)
def test_why_it_is_not_known(size: int, recent: dict[str, list[float]], reason: str) -> None:
    blocks, errors = _world(size, np.random.default_rng(2))
    assert estimate_error(blocks, errors, recent).reason == reason
    assert estimate_error(blocks, None, {"confidence": [0.8]}).reason == "the task has no confidence"

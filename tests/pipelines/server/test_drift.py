"""The drift of a champion: the first and the last verdict that measured it, and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from elp_core.languages import NormaliserId
from pipelines.registry.ledger.entry import Event, LedgerEntry
from pipelines.registry.slot import Slot
from pipelines.server.read_models.drift import drift_since, verdict_of_change
from pipelines.server.read_models.signed_records import RecordedVerdict
from tests.support.registry_rows import WHO, verdict

HERE = Slot("plant-a", "asr")
BUNDLE, OTHER = "sha256:" + "b" * 64, "sha256:" + "a" * 64
CHAMPION = (4, BUNDLE)


JAPANESE = NormaliserId("ja/1", "sha256:" + "1" * 64)


def own(
    seq: int,
    value: float | None,
    golden: str = "g1",
    metric: str = "wer",
    bundle: str = BUNDLE,
    normaliser: NormaliserId | None = None,
) -> RecordedVerdict:
    """A verdict on the champion, v4."""
    made = verdict(HERE, 4, bundle, "passed", None, datetime(2026, 1, 1, tzinfo=UTC))
    named = replace(made.golden, tag=golden)
    made = replace(made, challenger=value, metric=metric, golden=named, normaliser=normaliser)
    return RecordedVerdict(f"d{seq}", seq, "k", f"2026-01-{seq:02d}", made)


def later(
    seq: int,
    value: float | None,
    against: tuple[int, str] | None = CHAMPION,
    golden: str = "g1",
    normaliser: NormaliserId | None = None,
) -> RecordedVerdict:
    """A verdict on v5, by whose gate the champion has this value."""
    made = verdict(HERE, 5, OTHER, "failed", against, datetime(2026, 1, 1, tzinfo=UTC))
    made = replace(made, champion=value, golden=replace(made.golden, tag=golden), normaliser=normaliser)
    return RecordedVerdict(f"d{seq}", seq, "k", f"2026-01-{seq:02d}", made)


def change(event: Event, *proofs: str, seq: int = 5) -> LedgerEntry:
    return LedgerEntry(seq, "0" * 64, "2026-01-05", event, str(HERE), 3, 4, BUNDLE, WHO, "better", proofs)


@pytest.mark.parametrize(
    ("measures", "moved", "measured_by"),
    [
        ([later(7, 0.11)], 0.03, "d7"),
        ([own(7, 0.06)], -0.02, "d7"),
        ([own(8, 0.09), later(7, 0.11)], 0.01, "d8"),
        ([later(8, 0.11), own(7, 0.09)], 0.03, "d8"),
        ([later(9, 0.5, (4, OTHER)), later(8, 0.5, (3, BUNDLE)), later(7, 0.11)], 0.03, "d7"),
        ([later(8, None), own(8, 0.5, metric="cer"), later(7, 0.11)], 0.03, "d7"),
    ],
    ids=["challenger", "own", "own newest", "challenger newest", "other champions ignored", "nothing to compare"],
)
def test_drift_is_the_newest_value_minus_the_value_at_the_promotion(
    measures: Sequence[RecordedVerdict], moved: float, measured_by: str
) -> None:
    found = drift_since(own(4, 0.08), measures)
    assert found
    assert (round(found.change, 6), found.now.digest, found.then.digest) == (moved, measured_by, "d4")
    assert not found.other_golden


def test_a_champion_of_a_japanese_slot_is_compared_under_its_normaliser_only() -> None:
    upgraded = replace(JAPANESE, digest="sha256:" + "2" * 64)
    then = own(4, 0.08, metric="cer", normaliser=JAPANESE)
    other, same = (own(seq, 0.2, metric="cer", normaliser=rule) for seq, rule in ((8, upgraded), (7, JAPANESE)))
    assert drift_since(then, [other]) is None
    found = drift_since(then, [other, same])
    assert found
    assert (round(found.change, 6), found.now.digest) == (0.12, "d7")


@pytest.mark.parametrize("measure", [later(7, 0.11, golden="g2"), own(7, 0.11, golden="g2")])
def test_a_changed_golden_set_is_marked(measure: RecordedVerdict) -> None:
    found = drift_since(own(4, 0.08), [measure])
    assert found
    assert found.other_golden


@pytest.mark.parametrize(
    "measures",
    [
        [],
        [later(7, 0.11, None)],
        [later(7, 0.11, (4, OTHER))],
        [own(7, 0.11, bundle=OTHER)],
        [own(7, 0.11, metric="cer")],
        [own(7, 0.11, normaliser=JAPANESE), later(6, 0.11, normaliser=JAPANESE)],
    ],
)
def test_a_champion_that_was_not_measured_again_has_no_drift(measures: list[RecordedVerdict]) -> None:
    assert drift_since(own(4, 0.08), measures) is None


def test_a_champion_without_a_finite_first_value_has_no_drift() -> None:
    assert drift_since(own(4, None), [later(7, 0.11)]) is None


def test_the_first_verdict_of_a_champion_is_the_one_that_its_promotion_names() -> None:
    verdicts = [own(3, 0.07), own(4, 0.08), own(7, 0.09)]
    assert verdict_of_change(change("promoted", "d4", "lineage"), verdicts) == verdicts[1]
    assert verdict_of_change(change("rolled back", "d3", "lineage", seq=9), verdicts) == verdicts[0]


def test_the_first_verdict_of_an_override_is_the_newest_earlier_one() -> None:
    overridden = change("overridden", "lineage")
    assert verdict_of_change(overridden, [own(3, 0.07), own(4, 0.08), own(7, 0.09)]) == own(4, 0.08)
    assert verdict_of_change(overridden, [own(4, 0.08, bundle=OTHER), own(7, 0.09)]) is None

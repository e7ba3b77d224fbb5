"""Two versions of a slot: whether their metrics are compared, and what differs in their making."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from elp_core.languages import NormaliserId
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import ChampionRef, Golden, VerdictStatement
from pipelines.server.read_models.signed_records import RecordedLineage, RecordedVerdict
from pipelines.server.read_models.slot_page import VersionRow
from pipelines.server.read_models.version_comparison import Comparison, Difference, compare_versions, find_obstacle
from pipelines.texts.message_catalogue import texts
from tests.support.registry_rows import lineage, verdict

SLOT, AT = Slot("plant-a", "asr"), datetime(2026, 7, 1, tzinfo=UTC)

JAPANESE = NormaliserId("ja/1", "sha256:" + "a" * 64)


def judged(version: int, champion: tuple[int, str] | None = None, **over: Any) -> VerdictStatement:
    return replace(verdict(SLOT, version, f"sha256:{version:064}", "passed", champion, AT), **over)


def compare(
    one: VerdictStatement | None, other: VerdictStatement | None, *lineages: LineageStatement | None
) -> Comparison:
    rows = []
    for number, statement in ((1, one), (2, other)):
        known = AdapterVersion(SLOT, number, f"run-{number}", "", AT.isoformat())
        found = None if statement is None else RecordedVerdict("d", number, "k", AT.isoformat(), statement)
        rows.append(VersionRow(known, found, None, False, None))
    signed = [made and RecordedLineage("d", 1, "k", AT.isoformat(), made) for made in lineages or (None, None)]
    return compare_versions((rows[0], rows[1]), (signed[0], signed[1]), {"run-2": {"train_seconds": 5.0}})


def test_the_signed_difference_is_used_in_either_direction() -> None:
    first, second = judged(1), judged(2, (1, f"sha256:{1:064}"))
    assert compare(first, second).change.startswith("v2: WER −5.00 points against v1: fewer errors, between")
    backwards = compare(judged(1, (2, f"sha256:{2:064}")), judged(2))
    assert backwards.change.startswith("v1: WER ")
    assert " against v2: " in backwards.change


def test_without_a_common_verdict_the_interval_is_unknown() -> None:
    for second in (judged(2), judged(2, (1, "sha256:" + "9" * 64))):
        assert compare(judged(1), second).change == (
            "v2: WER −5.00 points against v1 on the same golden set. No verdict compares these two, so the interval of "
            "the difference is unknown"
        )


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (None, judged(2), "the gate has not measured v1"),
        (judged(1), None, "the gate has not measured v2"),
        (judged(1), judged(2, metric="cer"), "two metrics decided: v1 by WER, v2 by CER"),
        (
            judged(1),
            judged(2, golden=Golden("golden/plant-a/asr/v2", "sha256:" + "e" * 64)),
            "two golden sets: v1 on golden/plant-a/asr/v1, v2 on golden/plant-a/asr/v2",
        ),
        (judged(1), judged(2, golden=Golden("golden/plant-a/asr/v1", "sha256:" + "0" * 64)), "two golden sets"),
        (
            judged(1),
            judged(2, normaliser=NormaliserId("ja/1", "sha256:" + "a" * 64)),
            "v1 under English, v2 under ja/1",
        ),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(
    one: VerdictStatement | None, other: VerdictStatement | None, why: str
) -> None:
    found = compare(one, other)
    assert why in found.obstacle
    assert found.change == ""


def test_a_value_that_is_not_finite_has_no_difference() -> None:
    assert compare(judged(1, challenger=None), judged(2)).change == ""


def test_settings_and_inputs_that_differ_are_listed_and_the_others_counted() -> None:
    one, other = (
        replace(lineage(SLOT, version, "sha256:" + "1" * 64, "r"), asked={**asked, "config": {"train": config}})
        for version, config in ((1, {"epochs": 4, "rates": [1, 2]}), (2, {"epochs": 8, "rates": [1, 2], "warmup": 0.1}))
        for asked in [lineage(SLOT, 1, "sha256:" + "1" * 64, "r").asked]
    )
    found = compare(judged(1), judged(2), one, other)
    assert found.differences == (
        Difference("settings", "train.epochs", ("4", "8")),
        Difference("dataset", "clips", ("401", "402")),
        Difference("settings", "train.warmup", ("", "0.1")),
    )
    assert found.same > 8
    equal = compare(judged(1), judged(2), one, one)
    assert equal.differences == ()


def test_without_a_signed_lineage_nothing_is_compared() -> None:
    found = compare(judged(1), judged(2), None, lineage(SLOT, 2, "sha256:" + "1" * 64, "r"))
    assert (found.differences, found.same) == ((), 0)
    assert (found.one.cost.seconds, found.other.cost.seconds) == (None, 5.0)


def test_a_version_is_not_compared_with_itself() -> None:
    [side, _] = compare(judged(1), judged(2)).sides
    assert find_obstacle(texts("en"), side, side) == "both are v1"


def test_a_champion_of_another_bundle_is_another_champion() -> None:
    assert judged(2, (1, "x")).against == ChampionRef(1, "x")
    assert "No verdict compares these two" in compare(judged(1), judged(2, (1, "x"))).change

"""A report on a site by hand: its slot has a champion with a signed verdict, and a contender that is undecided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.local.report_settings import ReportSettings
from pipelines.registry.adapter_version import CHAMPION, AdapterVersion, Tags
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import ChampionRef, VerdictStatement
from pipelines.reporting.comparison_records import workspace_comparisons
from pipelines.reporting.full_copies import full_copies
from pipelines.reporting.recorded_audio import RecordedAudio
from pipelines.reporting.site_report import JudgedAdapter, MissingAudio, SiteReport, SlotReport, slot_gains
from pipelines.reporting.yearly_cost import SlotAmounts, yearly_costs
from tests.support.compared import ELP, FULL, WEAK, differences_of
from tests.support.proof import FINGERPRINT, verdict

SLOT = Slot("plant-a", "asr")
METRICS = {
    "train_seconds": 900.0, "bundle_bytes": 2_000_000.0, "backbone_parameters": 5_000_000.0, "before_wer": 1.0,
    "wer": 0.12,
}  # fmt: skip
RECORDED = RecordedAudio(
    source="data/plant-a/asr/v1", seconds=5400.0, clips=950, speakers=12, conditions={"quiet": 600, "press": 350},
    groups={"dialect": {"kansai": 400, "tokyo": 550}}, quarantined=50, reasons={"too short": 50},
    golden="golden/plant-a/asr/v1", golden_clips=200, golden_seconds=900.0, golden_speakers=4, taught_seconds=0.0,
    closed_set=False, stored_bytes=80_000_000,
)  # fmt: skip


def judged(version: int, found: VerdictStatement | None, missing: MissingAudio | None = None) -> JudgedAdapter:
    """A version and its verdict."""
    aliases = (CHAMPION,) if missing is None else ()
    tags = {Tags.DATASET: RECORDED.source, Tags.BACKBONE: "elp:tiny", Tags.FINGERPRINT: FINGERPRINT}
    made = AdapterVersion(SLOT, version, f"run-{version}", "models:/m", "2026-01-01T00:00:00+00:00", tags, aliases)
    return JudgedAdapter(made, found, "d" * 64 if found else "", METRICS, missing)


def write_compared(state: Path, name: str = "0123456789abcdef", adapter: str = "elp", **over: Any) -> None:
    """A comparison in which the frozen backbone makes 29 of 100 errors more than the adapter."""
    methods = (FULL, replace(ELP, method=adapter), WEAK)
    pair = {"method": "weighted-sum", "other": adapter, "value": 0.29, "lower": 0.21, "upper": 0.37}
    curve = [{"minutes": 16.0 * share, "clips": int(240 * share), "value": value, "tokens": 300}
             for share, value in ((0.125, 0.31), (0.25, 0.22), (0.5, 0.16), (1.0, 0.11))]  # fmt: skip
    values: Mapping[str, Any] = {
        "slot": str(SLOT), "dataset": "data/plant-a/asr/v1", "golden": "golden/plant-a/asr/v1", "metric": "wer",
        "backbone": "elp:tiny", "fingerprint": FINGERPRINT, "curve_method": "elp",
        "methods": plain(methods), "differences": [*plain(differences_of(3.0, methods)), pair],
        "curve": curve, "of_a_later_release": 1, **over,
    }  # fmt: skip
    folder = state / "comparisons" / name
    folder.mkdir(parents=True)
    (folder / "compare.json").write_text(json.dumps(values), encoding="utf-8")


def reported_site(state: Path, compared: Mapping[str, Any] | None = None, **settings: Any) -> SiteReport:
    """The report on plant-a; `compared` is what its comparison has differently."""
    write_compared(state, **(compared or {}))
    champion = judged(3, verdict(challenger_interval=(0.06, 0.105)))
    contender = judged(
        4, verdict(version=4, outcome="undecided", against=ChampionRef(3, "sha256:" + "b" * 64)), MissingAudio(120, 3)
    )
    gains, other = slot_gains(champion, workspace_comparisons(state))
    amounts = SlotAmounts(str(SLOT), 900.0, "run-3", 12.0, False, 2_000_000.0, 4, 80_000_000)
    slot = SlotReport(
        SLOT,
        RECORDED,
        champion,
        contender,
        gains,
        amounts,
        5_000_000.0,
        "Apache-2.0",
        None,
        3,
        "",
        other,
    )
    assumed = ReportSettings(**settings)
    costs = yearly_costs([amounts], assumed)
    return SiteReport(
        "plant-a", "2026-11-29T20:00:00+00:00", (slot,), assumed, costs,
        full_copies(assumed.sites, slot.backbone_parameters, [2_000_000.0]),
    )  # fmt: skip

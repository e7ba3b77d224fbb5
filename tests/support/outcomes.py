"""What the steps of a flow return: one record of each kind, for tests that replace the steps."""

from __future__ import annotations

from pathlib import Path

from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.datasets.validation_summary import ValidationSummary
from pipelines.gating.gate import GateOutcome
from pipelines.registry.policies import GatePolicy
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import Verdict
from pipelines.training.register import Registered

DATASET = DatasetVersion(
    slot=Slot("plant-a", "asr"),
    version=2,
    tag="data/plant-a/asr/v2",
    dvc_hash="0.dir",
    clips=9,
    seconds=60.0,
    speakers=3,
    splits={"train": 5, "validation": 2, "test": 2},
    split_seconds={"train": 40.0, "validation": 10.0, "test": 10.0},
    conditions={"quiet": 9},
    quarantined=1,
    quarantine={"clipped": 1},
    golden="golden/plant-a/asr/v1",
    created="2026-01-01T00:00:00+00:00",
    closed_set=False,
    shards=("shards/v2-0.parquet",),
    deliveries=(),
    validation=ValidationSummary(),
)
REGISTERED = Registered("elp.plant-a.asr", 5, "key", "r", "sha256:0", False, {"wer": 0.1})
JUDGED = GateOutcome(
    verdict=Verdict(
        outcome="passed",
        first_version=True,
        metric="wer",
        challenger=0.1,
        champion=None,
        delta=None,
        interval=None,
        challenger_interval=(0.05, 0.15),
        champion_interval=None,
        blocks=8,
        unit="speakers",
        clips=9,
        needed=None,
        needed_blocks=None,
        closed_set=False,
        slices=(),
        checks=(),
        reasons=(),
        policy=GatePolicy(),
    ),
    evidence=Path("/e"),
    version=5,
    champion=None,
    reused=False,
    dry_run=False,
)

"""The plan of a proof of concept: what to record, how long it takes, and which result justifies a roll-out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from elp_core.types import Seconds
from pipelines.comparison.learning_curve import REACH, PowerLaw, fit_power_law, minutes_for
from pipelines.errors import UsageError
from pipelines.local.settings import deciding_metric
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from pipelines.reporting.comparison_records import CurvePoint, RecordedComparison, workspace_comparisons
from pipelines.reporting.sample_size import GoldenDesign, least_blocks

PLANNED_POWER = 0.8
"""Chance that the golden set shows the result, if the adapter is as good as the plan expects."""
AIM = 0.75
"""The plan expects an error rate of so much of the target."""
LAX = 0.2
"""A plan with a higher target has a warning: at one error of five, a passed adapter is no reason for a roll-out."""
LEAST_MINUTES = 10.0
"""Of training audio, whatever a curve says."""
VALIDATION = 0.5
"""Validation speakers for each golden speaker."""
PUBLISHED = (
    CurvePoint(1.8, 0, 0.323, 300), CurvePoint(4.4, 0, 0.217, 300), CurvePoint(8.6, 0, 0.147, 300),
    CurvePoint(17.5, 0, 0.107, 300),
)  # fmt: skip
"""The learning curve of docs/reference/benchmarks.md: ELP, intent, FSDD with factory noise, golden set of 300 clips."""
CurveSource = Literal["slot", "task", "published"]


@dataclass(frozen=True)
class TaskRecording:
    """What people record for a task, if the site has no data yet. All are assumptions."""

    clips: int
    """Of each speaker."""
    seconds: Seconds
    """Of a clip."""
    tokens: float
    """Words, characters, answers or target trials of a clip."""
    spread: float
    """Between speakers, see `GoldenDesign.spread`."""


RECORDINGS = {
    "asr": TaskRecording(40, 5.0, 8.0, 0.5),
    # 12 clips of a speaker have 66 pairs, which are target trials
    "asv": TaskRecording(12, 5.0, 5.5, 0.7),
    "ser": TaskRecording(40, 4.0, 1.0, 0.5),
    "sic": TaskRecording(40, 3.0, 1.0, 0.5),
}
CHARACTERS = 20.0
"""Of a clip of `asr`, if the CER decides: four a second. Slow speech in Japanese or Chinese has so many."""


@dataclass(frozen=True)
class PocPlan:
    """The plan. Amounts are of a whole site, all splits together."""

    slot: Slot
    metric: str
    """The one that decides in the gate of the slot."""
    target: float
    """Error rate that the upper end of the interval must not exceed."""
    expected: float
    """Error rate that the plan is made for."""
    margin: float
    """How much worse a later version may be than the champion."""
    recording: TaskRecording
    closed_set: bool
    """The same people are in training and golden set; the golden set is then counted in clips."""
    golden: int
    """Speakers of the golden set, or clips in a closed set."""
    power: float
    curve: CurveSource
    curve_source: str
    """Slot and name of the comparison; empty for the published one."""
    train_minutes: float
    enough: bool
    """False if the curve does not reach `expected` within `REACH` times its audio: `train_minutes` is that amount."""
    train_speakers: int
    validation_speakers: int
    label_hours: float
    """Work to record and label everything."""
    weeks: int
    """To record and label."""

    @property
    def lax(self) -> bool:
        """Return whether an adapter would pass with more errors than `LAX`."""
        return self.target > LAX

    @property
    def golden_minutes(self) -> float:
        """Return the audio of the golden set."""
        clips = self.golden if self.closed_set else self.golden * self.recording.clips
        return clips * self.recording.seconds / 60

    @property
    def speaker_minutes(self) -> float:
        """Return what one speaker records."""
        return self.recording.clips * self.recording.seconds / 60

    @property
    def minutes(self) -> float:
        """Return all audio to record."""
        if self.closed_set:
            return self.train_minutes + (1 + VALIDATION) * self.golden_minutes
        return self.speakers * self.speaker_minutes

    @property
    def speakers(self) -> int:
        """Return all speakers to record; in a closed set, those that the site has."""
        return 0 if self.closed_set else self.train_speakers + self.validation_speakers + self.golden

    @property
    def test_share(self) -> float:
        """Return the share of the speakers (or clips) that becomes the golden set, for `data.test_share`."""
        whole = self.minutes if self.closed_set else self.speakers
        return (self.golden_minutes if self.closed_set else self.golden) / whole

    @property
    def validation_share(self) -> float:
        """Return the share of the speakers (or clips) for `data.validation_share`."""
        return VALIDATION * self.test_share if self.closed_set else self.validation_speakers / self.speakers


def make_poc_plan(workspace: Workspace, slot: Slot, target: float | None = None) -> PocPlan:
    """Return the plan for a slot; raise UsageError for a target that no golden set could show.

    `target` is an error rate as a share; without it, the absolute limit of the slot's gate.
    """
    settings, assumed = workspace.settings.for_slot(slot), workspace.settings.report
    wanted = settings.gate.limit if target is None else target
    if not 0 < wanted < 1:
        raise UsageError(
            f"the target is {wanted:g}, expected an error rate as a share above 0 and below 1, such as 0.15 for 15 of "
            "100 (--target, or gate.limit of the slot)"
        )
    metric, closed = deciding_metric(slot, settings), settings.data.closed_set
    recording = planned_recording(slot.task, metric)
    expected = AIM * wanted
    design = GoldenDesign(
        rate=expected,
        limit=wanted,
        spread=0.0 if closed else recording.spread,
        clips=1 if closed else recording.clips,
        tokens=recording.tokens,
        confidence=settings.gate.confidence,
    )
    golden = least_blocks(design, PLANNED_POWER)
    if golden is None:
        raise UsageError(
            f"no golden set of a reasonable size shows an error rate of {100 * wanted:g} % for {slot}; choose a higher "
            "--target"
        )
    comparisons, backbone = workspace_comparisons(workspace.state), workspace.settings.backbone_of(slot)
    source, named, points = choose_curve(comparisons, slot, metric, backbone)
    minutes, enough = training_minutes(points, expected)
    # a curve of known speakers says nothing of others, so the adapter learns from as many people as it is tested on
    train, validation = max(golden, _speakers(minutes, recording)), max(2, math.ceil(VALIDATION * golden))
    plan = PocPlan(
        slot, metric, wanted, expected, settings.gate.margin, recording, closed, golden, design.power(golden), source,
        named, minutes, enough, train, validation, 0.0, 0,
    )  # fmt: skip
    hours = plan.minutes / 60 * (1 + assumed.label_hours)
    return replace(plan, label_hours=hours, weeks=max(1, math.ceil(hours / assumed.people_hours)))


def planned_recording(task: str, metric: str) -> TaskRecording:
    """Return what people record for a task that is decided by a metric."""
    found = RECORDINGS.get(task, RECORDINGS["sic"])
    return replace(found, tokens=CHARACTERS) if metric == "cer" else found


def choose_curve(
    comparisons: Sequence[RecordedComparison], slot: Slot, metric: str, backbone: str
) -> tuple[CurveSource, str, tuple[CurvePoint, ...]]:
    """Return a learning curve for a slot: its own, that of another slot of its task, or the published one.

    One in another metric, or on another backbone, is none of this slot.
    """
    usable = [
        one
        for one in comparisons
        if one.slot.endswith(f"/{slot.task}")
        and (one.metric, one.on.backbone.id) == (metric, backbone)
        and fit_curve(one.curve)
    ]
    own = next((one for one in usable if one.slot == str(slot)), None)
    if own:
        return "slot", f"{own.slot} {own.source}", own.curve
    if usable:
        return "task", f"{usable[0].slot} {usable[0].source}", usable[0].curve
    return "published", "", PUBLISHED


def fit_curve(points: Sequence[CurvePoint]) -> PowerLaw | None:
    """Return the power law through a curve; None if its error does not fall beyond chance."""
    if not points:
        return None
    tokens = max(1, max(points, key=lambda one: one.minutes).tokens)
    law = fit_power_law([one.minutes for one in points], [one.value for one in points], 0.5 / tokens)
    return law if law and law.falls else None


def training_minutes(points: Sequence[CurvePoint], error: float) -> tuple[float, bool]:
    """Return the minutes of training audio at which the curve reaches an error, and whether it does within reach."""
    law, most = fit_curve(points), REACH * max(one.minutes for one in points)
    found = minutes_for(law, error) if law else None
    if found is None or found > most:
        return most, False
    return max(LEAST_MINUTES, found), True


def _speakers(minutes: float, recording: TaskRecording) -> int:
    return math.ceil(minutes * 60 / (recording.clips * recording.seconds))

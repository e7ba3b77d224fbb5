"""What the adapters of a site cost in a year: measured amounts times the assumptions of `report:` in `elp.yaml`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Literal

from pipelines.local.cron_times import clock_times, instant
from pipelines.local.report_settings import ReportSettings
from pipelines.local.schedule_settings import ScheduleEntry

CostKind = Literal["training", "labelling", "storage"]
_YEAR = datetime(2026, 1, 1)
_MONTHS = 12


@dataclass(frozen=True)
class SlotAmounts:
    """What one slot uses."""

    slot: str
    train_seconds: float | None
    """Of the newest training that was measured, a pass of `trained_together` slots; None if none was."""
    train_source: str
    """Id of its run."""
    trainings: float
    """In a year: starts of the schedule, or the assumption."""
    scheduled: bool
    bundle_bytes: float | None
    """Of one adapter."""
    versions: int
    """Adapters in the registry."""
    data_bytes: int
    """Of the dataset version; 0 without one."""
    trained_together: int = 1
    """Slots that were trained in the pass: an equal part of its duration is this slot's."""


@dataclass(frozen=True)
class CostLine:
    """One line of the table: an amount in a year, its price, and their product."""

    kind: CostKind
    amount: float
    """Hours of the machine, hours of work, or GB."""
    price: float
    """Of one hour, or of one GB in a year."""

    @property
    def cost(self) -> float:
        """Return the cost in a year."""
        return self.amount * self.price


def yearly_costs(slots: Sequence[SlotAmounts], assumed: ReportSettings) -> tuple[CostLine, ...]:
    """Return the lines of a site; a training that was never measured counts nothing."""
    hours = sum((one.train_seconds or 0.0) * one.trainings / one.trained_together for one in slots) / 3600
    octets = sum((one.bundle_bytes or 0.0) * one.versions + one.data_bytes for one in slots)
    return (
        CostLine("training", hours, assumed.compute_price),
        CostLine("labelling", len(slots) * assumed.new_audio_hours * assumed.label_hours, assumed.label_price),
        CostLine("storage", octets / 1e9, assumed.storage_price * _MONTHS),
    )


def starts_in_a_year(entry: ScheduleEntry) -> int:
    """Return how often a schedule starts in a year of 365 days, without the days off."""
    end = _YEAR + timedelta(days=365)
    times = takewhile(lambda at: at < end, clock_times(entry.cron, _YEAR - timedelta(seconds=1)))
    return sum(not entry.off(instant(at, entry.zone)) for at in times)

"""Names under which MLflow has the looks of the monitor; the console reads them."""

from __future__ import annotations

from pipelines.registry.slot import Slot


class MonitorTags:
    """Names of the tags on a run of the monitor."""

    FOUND = "elp.found"
    """The outcome of the last look in a sentence; an alarm begins with ``alarm``."""
    AT = "elp.look_at"
    """Moment of the last look, UTC, ISO 8601."""


def monitor_experiment(slot: Slot) -> str:
    """Return the name of the experiment with the slot's looks, one run for each reference."""
    return f"monitor.{slot.site}.{slot.task}"

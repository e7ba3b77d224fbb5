"""Names under which MLflow has the looks of the monitor; the console reads them."""

from __future__ import annotations

from pipelines.registry.slot import Slot


class MonitorTags:
    """Names of the tags on a run of the monitor."""

    FOUND = "elp.found"
    """The outcome of the last look in a sentence; an alarm begins with ``alarm``."""
    AT = "elp.look_at"
    """Moment of the last look, UTC, ISO 8601."""
    ESTIMATE = "elp.estimate"
    """The champion's estimated error at the site, or why it is not known."""
    ENTRY = "elp.entry."
    """A decision, a restart or a bound, as JSON; its place in the list of looks follows, with six digits."""


class MonitorMetrics:
    """Begin of the names of the metrics of a run of the monitor; the name of a score follows."""

    EVIDENCE = "evidence."
    """Share of the way to an alarm; the step is the number of the look."""
    MEDIAN = "median."
    """Median of the last blocks."""
    USUAL = "usual."
    """Median of the reference."""


REPORTS = "monitor"
"""Folder of the reports among the artifacts of the run."""
UNITS = {
    "distance": "",
    "confidence": "",
    "blank_share": "",
    "snr_db": " dB",
    "level_db": " dB",
    "seconds": " s",
}
"""Every score, with its unit as it is printed after a value."""
TITLES = {
    "distance": "distance of the backbone's features",
    "confidence": "confidence",
    "blank_share": "share of blank frames",
    "snr_db": "signal-to-noise ratio",
    "level_db": "level",
    "seconds": "length of a clip",
}


def report_name(look: int) -> str:
    """Return the name of the report of a look, by its number."""
    return f"look-{look:05d}.html"


def monitor_experiment(slot: Slot) -> str:
    """Return the name of the experiment with the slot's looks, one run for each reference."""
    return f"monitor.{slot.site}.{slot.task}"

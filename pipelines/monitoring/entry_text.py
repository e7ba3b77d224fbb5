"""An entry of the list of looks as a line for people, in the command and on the slot's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.number_text import count, percent


def entry_title(entry: Mapping[str, Any]) -> str:
    """Return what an entry is: ``look 3``, ``retraining``, ``references`` or ``restart``."""
    if entry["kind"] == "look":
        return f"look {entry['number']}"
    return {"retrain": "retraining", "labels": "references"}.get(entry["kind"], str(entry["kind"]))


def entry_text(entry: Mapping[str, Any]) -> str:
    """Return what an entry says: the scores of an alarm, a decision with its reasons, a bound, or a reason."""
    if entry["kind"] == "look":
        moved = [move["name"] for move in entry["moves"] if move["alarm"]]
        return f"alarm: {', '.join(moved)}" if moved else "no alarm"
    if entry["kind"] == "retrain":
        return f"{entry['outcome']}: {'; '.join(entry['reasons'])}"
    if entry["kind"] == "labels":
        low, high = entry["bound"]
        return (
            f"{entry['metric']} of v{entry['version']} {percent(low)} to {percent(high)}, after "
            f"{count(len(entry['rates']), 'new session')}"
        )
    return str(entry["reason"])

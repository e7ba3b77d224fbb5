"""What a flow run leaves in Prefect's UI: a table with its outcome, which the command line reads too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.registry.slot import Slot


def publish_outcome(flow: str, slot: Slot | None, outcome: Mapping[str, Any], title: str) -> None:
    """Publish a run's outcome as a table of name and value; the newest of a slot has a page of its own.

    Args:
        flow: Name of the flow.
        slot: The slot, None where the run was about all.
        outcome: Names and JSON-ready values.
        title: One line above the table.
    """
    from prefect.artifacts import create_table_artifact

    key = f"outcome-{flow}-{slot.site}-{slot.task}" if slot else f"outcome-{flow}"
    rows = [{"what": name, "value": value} for name, value in outcome.items()]
    create_table_artifact(rows, key=key, description=title)

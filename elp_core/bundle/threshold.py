"""The threshold that a verification bundle decides at, once it serves."""

from __future__ import annotations

import json
from pathlib import Path

from elp_core.tasks import Comparing, Task


def deployed_threshold(task: Task, bundle: Path) -> float | None:
    """The task's own threshold; bundles of 0.1.0 keep it in their lineage, with the metrics of the validation split.

    Args:
        task: of the bundle.
        bundle: its folder.

    Returns:
        None where none was chosen, or the task compares nothing.
    """
    if not isinstance(task, Comparing):
        return None
    if task.threshold is not None:
        return task.threshold
    lineage = json.loads((bundle / "lineage.json").read_text(encoding="utf-8"))
    threshold = lineage.get("validation", {}).get("eer.threshold")
    return None if threshold is None else float(threshold)

"""When a run is overdue: one rule for the alert and for the metric.

Prefect marks a run that no worker began at its time as Late. One that is Late for `OVERDUE` is overdue. A run that
waits for a retry, for its turn on a GPU, or for a process that starts is not: a worker has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from elp_core.types import Seconds
from pipelines.prefect_names import BAD_ENDS, MISSED

OVERDUE: Seconds = 1800.0
"""How long a run may be late: one that waits behind another one is late, too."""
LATE = "Late"
"""Name of the state."""
LEAVES_LATE = ("Pending", "Running", "Cancelling", "Cancelled", MISSED, "Completed", *BAD_ENDS)
"""States in which a run is late no more."""


def is_overdue(run: Mapping[str, Any], now: float) -> bool:
    """Return whether a run, as Prefect's API answers it, is overdue at a moment (seconds since the epoch)."""
    state = run.get("state") or {}
    if state.get("name") != LATE:
        return False
    since = datetime.fromisoformat(str(state["timestamp"]).replace("Z", "+00:00")).timestamp()
    return now - since >= OVERDUE

"""Where deliveries are dropped, and when one is complete: `inbox:` in `elp.yaml`."""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from elp_core._ranges import Checked, one_of, within
from pipelines.registry.slot import Slot

BUCKET = "s3://"
Proof = Literal["stable", "marker"]
Start = Literal["", "ingest", "retrain"]
_BUCKET_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\x00-\x1f\x7f]*)?")


@dataclass(frozen=True)
class InboxSettings(Checked):
    """The drop folders or bucket prefixes of a workspace."""

    title: ClassVar[str] = "inbox"

    path: str = "inbox"
    """A folder (relative to the workspace) or ``s3://BUCKET/PREFIX``; deliveries are in ``SITE/TASK/`` below it."""
    complete: Proof = field(default="stable", metadata=one_of(Proof))
    """What shows that a delivery is complete: ``stable`` (the same listing twice, or a marker) or ``marker`` alone."""
    stable: float = within(10.0, 0.0, 86_400.0)
    """Seconds between two looks at the same listing; 0 takes what is there at once."""
    poll: float = within(60.0, 1.0, 86_400.0)
    """Seconds between two looks of the supervision of `elp up`."""
    start: Start = field(default="", metadata=one_of(Start))
    """The flow that the supervision starts for a slot when a complete delivery waits; empty starts none."""

    def other_faults(self) -> list[str]:
        """Return what is wrong with the path."""
        fault = inbox_fault(self.path)
        return [f"path is {fault}"] if fault else []

    def of_slot(self, slot: Slot) -> str:
        """Return the address of a slot's deliveries in the common inbox."""
        return f"{self.path.rstrip('/')}/{slot.site}/{slot.task}"


def inbox_fault(address: object) -> str:
    """Return what is wrong with the address of an inbox, and what is expected; empty if it is right."""
    if not isinstance(address, str) or not address.strip() or "\0" in address:
        return f"{address!r}, expected a folder or s3://BUCKET/PREFIX"
    if "://" in address and not _BUCKET_ADDRESS.fullmatch(address):
        return f"{address!r}, expected s3://BUCKET/PREFIX, or a folder"
    return ""

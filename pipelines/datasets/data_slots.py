"""The slots that have data, by their tags alone: without PyArrow, for the supervision."""

from pathlib import Path

from pipelines.local.git import tags
from pipelines.registry.slot import Slot


def slots_with_data(root: Path) -> dict[Slot, int]:
    """Return every slot of a repository that has a dataset version, with the number of the newest one, by name."""
    found: dict[Slot, int] = {}
    for slot, number in filter(None, map(Slot.of_tag, tags(root, "data"))):
        found[slot] = max(found.get(slot, 0), number)
    return dict(sorted(found.items(), key=lambda one: str(one[0])))

"""The roots that the server hands out: where they are, and how a new one gets there after its ceremony."""

from __future__ import annotations

from pathlib import Path

from elp_core.files import write_whole
from pipelines.errors import DeliveryRefused
from pipelines.registry.delivery.delivery_metadata import ROOT, TARGETS, metadata_file
from pipelines.registry.delivery.root_ceremony import RootState, check_roots, newest_metadata, root_state

METADATA = "metadata"


def delivery_folder(keys: Path) -> Path:
    """Return the folder of what the server delivers; it is next to its key folder."""
    return keys.parent / "delivery"


def publish_root(ceremony: Path, keys: Path) -> RootState:
    """Hand out the newest root and list of sites of a ceremony's folder, if a threshold has signed both.

    Raises DeliveryRefused if signatures are missing, or if a root that was handed out before is another one there.
    """
    check_roots(ceremony)
    state, place = root_state(ceremony), delivery_folder(keys) / METADATA
    for version in range(1, state.version + 1):
        name = metadata_file(ROOT, version)
        if (place / name).exists() and (place / name).read_bytes() != (ceremony / name).read_bytes():
            raise DeliveryRefused(
                "rollback",
                f"{ceremony / name} is another root than boxes have got already; go on from the one in {place}",
            )
    if (place / metadata_file(ROOT, state.version + 1)).exists():
        raise DeliveryRefused(
            "rollback", f"{place} has a newer root than {ceremony}; copy it there and make the next one"
        )
    listed = newest_metadata(ceremony, TARGETS)
    # the root last: it is what says that the others count
    for path in (listed, *(ceremony / metadata_file(ROOT, version) for version in range(1, state.version + 1))):
        write_whole(place / path.name, path.read_bytes(), durable=True)
    return state

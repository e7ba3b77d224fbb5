"""The record of a change that no delivery made: it stands among the deliveries of a version, with a kind of its own."""

import hashlib
from collections.abc import Iterable
from typing import Any

from pipelines.datasets.dataset_version import Delivery, utc_seconds

_NOTHING = {"delivered": 0, "clips": 0, "seconds": 0.0, "quarantined": 0, "repeats": 0}


def record_change(kind: str, source: str, version: int, content: Iterable[str], **figures: Any) -> Delivery:
    """Return the record of the change that makes `version`, such as ``drop``; `source` is what people read.

    The lines of `content` identify it, as the content of a delivery does. `figures` are other fields of `Delivery`;
    numbers that are not given are zero.
    """
    return Delivery(
        key=hashlib.sha256("\n".join(content).encode()).hexdigest(),
        name=f"{kind}-v{version}",
        source=source,
        importer=kind,
        options={},
        version=version,
        created=utc_seconds(),
        **_NOTHING | figures,
    )

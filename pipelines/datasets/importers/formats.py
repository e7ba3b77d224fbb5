"""All formats that a delivery may come in. The next corpus is one more file and one more line here."""

from __future__ import annotations

from pathlib import Path

from pipelines.datasets.importers import audiofolder, fsdd, nemo
from pipelines.datasets.source_clip import Importer
from pipelines.errors import IntakeError, UsageError

IMPORTERS: tuple[Importer, ...] = (nemo.IMPORTER, audiofolder.IMPORTER, fsdd.IMPORTER)
"""In the order in which they are asked whether a source is theirs."""


def choose(source: Path, name: str | None = None) -> Importer:
    """The importer called `name`, or the first that accepts the source.

    Raises:
        UsageError: where there is no importer of that name.
        IntakeError: where the source is not there, or looks like nothing that is known.
    """
    known = {importer.name: importer for importer in IMPORTERS}
    if name is not None and name not in known:
        raise UsageError(f"unknown format {name!r}; expected one of {', '.join(known)}")
    if not source.exists():
        raise IntakeError(f"{source} is not there; give a manifest, a folder or an archive")
    if name is not None:
        return known[name]
    for importer in IMPORTERS:
        if importer.accepts(source):
            return importer
    raise IntakeError(
        f"{source} looks like no known format; name one with --format",
        [f"{importer.name}: {importer.expects}" for importer in IMPORTERS],
    )

"""Importers, one module for each format of delivery. A new corpus is one more module and one more line here."""

from pathlib import Path

from pipelines.datasets.delivery import Importer
from pipelines.datasets.importers.audiofolder import AUDIOFOLDER
from pipelines.datasets.importers.fsdd import FSDD
from pipelines.datasets.importers.nemo import NEMO
from pipelines.errors import IntakeError, UsageError

IMPORTERS: tuple[Importer, ...] = (NEMO, AUDIOFOLDER, FSDD)
"""In the order in which they are asked whether they accept a source."""


def choose_importer(source: Path, name: str | None = None) -> Importer:
    """Return the importer called `name` (else UsageError), or the first that accepts the source (else IntakeError)."""
    known = {importer.name: importer for importer in IMPORTERS}
    if name is not None and name not in known:
        raise UsageError(f"unknown format {name!r}; expected one of {', '.join(known)}")
    if not source.exists():
        raise IntakeError(f"{source} does not exist; give a manifest, a folder or an archive")
    if name is not None:
        return known[name]
    for importer in IMPORTERS:
        if importer.accepts(source):
            return importer
    raise IntakeError(
        f"{source} has no known format; name the format with --format",
        [f"{importer.name}: {importer.expects}" for importer in IMPORTERS],
    )

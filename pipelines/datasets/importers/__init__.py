"""Importers, one module for each format of delivery. A new corpus is one more module and one more line here."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from pipelines.datasets.delivery import Importer
from pipelines.datasets.importers.audacity import AUDACITY
from pipelines.datasets.importers.audio_table import TABLE
from pipelines.datasets.importers.audiofolder import AUDIOFOLDER
from pipelines.datasets.importers.common_voice import COMMON_VOICE
from pipelines.datasets.importers.ctm import CTM
from pipelines.datasets.importers.elan import ELAN
from pipelines.datasets.importers.fluent_speech_commands import FLUENT
from pipelines.datasets.importers.fsdd import FSDD
from pipelines.datasets.importers.huggingface import HUGGINGFACE
from pipelines.datasets.importers.id_text import ID_TEXT
from pipelines.datasets.importers.iemocap import IEMOCAP
from pipelines.datasets.importers.kaldi import KALDI
from pipelines.datasets.importers.label_studio import LABEL_STUDIO
from pipelines.datasets.importers.lhotse_cuts import LHOTSE
from pipelines.datasets.importers.librispeech import LIBRISPEECH
from pipelines.datasets.importers.mls import MLS
from pipelines.datasets.importers.nemo import NEMO
from pipelines.datasets.importers.reazonspeech import REAZONSPEECH
from pipelines.datasets.importers.rttm import RTTM
from pipelines.datasets.importers.srt_vtt import SRT, VTT
from pipelines.datasets.importers.stm import STM
from pipelines.datasets.importers.text_folder import TEXT_FOLDER
from pipelines.datasets.importers.textgrid import TEXTGRID
from pipelines.datasets.importers.voxceleb import VOXCELEB
from pipelines.errors import IntakeError, UsageError

ANNOTATIONS: tuple[Importer, ...] = (TEXTGRID, ELAN, SRT, VTT, STM, CTM, RTTM, AUDACITY)
"""Formats of annotated recordings, next to those of Label Studio."""
IMPORTERS: tuple[Importer, ...] = (
    # before NeMo: its manifests are JSONL files, too, but not every JSONL file is one
    LHOTSE,
    # an export of Label Studio has the ending of a manifest
    LABEL_STUDIO,
    NEMO,
    AUDIOFOLDER,
    FSDD,
    LIBRISPEECH,
    VOXCELEB,
    IEMOCAP,
    FLUENT,
    COMMON_VOICE,
    MLS,
    REAZONSPEECH,
    KALDI,
    HUGGINGFACE,
    ID_TEXT,
    *ANNOTATIONS,
    TABLE,
    # last, because it looks at every file
    TEXT_FOLDER,
)
"""In the order in which they are tried on a source: corpora first, formats of any content last."""


def choose_importer(source: Path, name: str | None = None, options: Mapping[str, str] | None = None) -> Importer:
    """Return the importer called `name` (else UsageError), or the first that accepts the source (else IntakeError).

    Raise UsageError for `options` that the format does not have.
    """
    known = {importer.name: importer for importer in IMPORTERS}
    if name is not None and name not in known:
        raise UsageError(f"unknown format {name!r}; expected one of {', '.join(known)}")
    if not source.exists():
        raise IntakeError(f"{source} does not exist; give a manifest, a folder or an archive")
    accepted = (importer for importer in IMPORTERS if importer.accepts(source))
    chosen = known[name] if name is not None else next(accepted, None)
    if chosen is None:
        raise IntakeError(
            f"{source} has no known format; see what is in it with: elp data inspect {shlex.quote(str(source))}",
            [f"{importer.name}: {importer.expects}" for importer in IMPORTERS],
        )
    check_format_options(chosen, options or {})
    return chosen


def accepting(source: Path) -> tuple[Importer, ...]:
    """Return the importers that accept a source, the one that is chosen without `--format` first."""
    return tuple(importer for importer in IMPORTERS if importer.accepts(source))


def source_remarks(source: Path, name: str | None = None, options: Mapping[str, str] | None = None) -> list[str]:
    """Return sentences on what of a source becomes no clip and is no fault; arguments as for `choose_importer`."""
    chosen = choose_importer(source, name, options)
    return chosen.remarks(source, **(options or {})) if chosen.remarks else []


def check_format_options(importer: Importer, options: Mapping[str, str]) -> None:
    """Raise a UsageError that names every option that the format does not have, or whose value it does not allow."""
    known = {option.name: option for option in importer.options}
    has = f"it has {', '.join(known)}" if known else "it has no options"
    faults = [f"{name} is no option of the format {importer.name} ({has})" for name in options if name not in known]
    for name, value in options.items():
        allowed = known[name].values if name in known else ()
        if allowed and value not in allowed:
            faults.append(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
    if faults:
        raise UsageError("; ".join(faults))

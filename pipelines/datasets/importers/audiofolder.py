"""Hugging Face audiofolders: audio with a ``metadata.csv`` or ``metadata.jsonl`` next to it, splits as folders."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, ClipFault, Importer, SourceClip
from pipelines.datasets.importers.corpus_files import AUDIO_SUFFIXES
from pipelines.datasets.importers.listing import ENCODING, ROOT, files_below, listed_clips

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.tsv")


def audiofolder_clips(source: Path, encoding: str = "", root: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every metadata file, then the audio files that none names (with the fault `not_listed`)."""
    names = ((path, "" if path.parent == source else path.parent.name) for path in _metadata_files(source))
    splits = ((path, name if name.lower() in SPLIT_NAMES else "") for path, name in names)
    clips = listed_clips(source, splits, "file_name", AUDIOFOLDER.expects, encoding, root)
    yield from clips
    # listed clips have resolved paths: a link to a listed file is listed, too
    listed = {clip.audio for clip in clips}
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and path.resolve() not in listed:
            fault = ClipFault("not_listed", "no metadata file names it")
            yield SourceClip(path.relative_to(source).as_posix(), path, fault=fault)


def _metadata_files(source: Path) -> list[Path]:
    """Metadata files at the top of `source`, in its split folders and in ``data/`` (as `datasets` looks for them)."""
    if not source.is_dir():
        return []
    folders = [source, source / "data"]
    # a folder that is closed has no metadata for this program
    with contextlib.suppress(OSError):
        folders += [path for path in source.iterdir() if path.name.lower() in SPLIT_NAMES and path.is_dir()]
    found = (path for folder in folders for path in files_below(folder, (".csv", ".jsonl", ".tsv")))
    return sorted(path for path in found if path.name.lower() in _METADATA)


AUDIOFOLDER = Importer(
    name="audiofolder",
    expects="a folder with metadata.csv or metadata.jsonl (column file_name) next to its audio, or in split folders",
    accepts=lambda source: bool(_metadata_files(source)),
    read=audiofolder_clips,
    options=(ENCODING, ROOT),
)

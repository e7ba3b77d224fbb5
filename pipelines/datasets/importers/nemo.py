"""NeMo manifests: one JSON object a line with `audio_filepath`, `text`, `speaker` and so on."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.importers.listing import listed_clips

_SUFFIXES = (".jsonl", ".json")


def nemo_clips(source: Path) -> Iterator[SourceClip]:
    """Yield the clips of all manifests of `source`, in the order of the lines. Paths are relative to the manifest.

    An object may also name ``speaker``, ``label``, ``split``, ``condition`` and ``offset`` (which, with ``duration``,
    cuts a clip out of a longer file). ``train_manifest.json`` gives its split to the lines that name none.
    """
    manifests = ((path, path.name.split("manifest")[0].strip("_-.").lower()) for path in _manifests(source))
    splits = ((path, prefix if prefix in SPLIT_NAMES else "") for path, prefix in manifests)
    yield from listed_clips(source, splits, "audio_filepath", NEMO.expects)


def _manifests(source: Path) -> list[Path]:
    """The manifest that `source` is, or the manifests in it (``manifest.jsonl``, ``train_manifest.json`` …)."""
    if source.is_file():
        return [source] if source.suffix in _SUFFIXES else []
    return sorted(path for path in source.glob("*manifest*") if path.suffix in _SUFFIXES and path.is_file())


NEMO = Importer(
    name="nemo",
    expects="a JSONL manifest with audio_filepath, text, speaker … or a folder that holds one",
    accepts=lambda source: bool(_manifests(source)),
    read=nemo_clips,
)

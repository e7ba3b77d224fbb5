"""NeMo manifests: one JSON object a line with `audio_filepath`, `text`, `speaker` and so on."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.importers.listing import ENCODING, ROOT, files_below, listed_clips

_SUFFIXES = (".jsonl", ".json", ".ndjson")


def nemo_clips(source: Path, encoding: str = "", root: str = "") -> Iterator[SourceClip]:
    """Yield the clips of all manifests of `source`, in the order of the lines. Paths are relative to the manifest.

    An object may also name ``speaker``, ``label``, ``split``, ``condition``, ``group``, ``channel`` and ``offset``. A
    ``duration`` that is shorter than the rest of the file cuts the clip out of it; ``offset`` is 0 if it is missing.
    ``train_manifest.json`` gives its split to the lines that name none.
    """
    manifests = ((path, path.name.lower().split("manifest")[0].strip("_-.")) for path in _manifests(source))
    splits = ((path, prefix if prefix in SPLIT_NAMES else "") for path, prefix in manifests)
    yield from listed_clips(source, splits, "audio_filepath", NEMO.expects, encoding, root)


def _manifests(source: Path) -> list[Path]:
    """The manifest that `source` is, or the manifests in it (``manifest.jsonl``, ``train_manifest.json`` …)."""
    if source.is_file():
        return [source] if source.suffix.lower() in _SUFFIXES else []
    if not source.is_dir():
        return []
    return [path for path in files_below(source, _SUFFIXES) if "manifest" in path.name.lower()]


NEMO = Importer(
    name="nemo",
    expects="a JSONL manifest with audio_filepath, text, speaker … or a folder that holds one",
    accepts=lambda source: bool(_manifests(source)),
    read=nemo_clips,
    options=(ENCODING, ROOT),
)

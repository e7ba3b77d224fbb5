"""ReazonSpeech: ``{tiny,small,medium,large,all}.tsv`` (``000/<name>.flac``, tab, text) with the unpacked archives.

The archives ``000.tar`` … are unpacked next to the table, or into ``v2/``, ``data/`` or ``flac/`` there. The corpus
names no speakers: a clip's own sound decides its split.
"""

from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import CorpusReader, is_file

SIZES = ("tiny", "small", "medium", "large", "all")
_FOLDERS = (".", "v2", "data", "flac")


def reazonspeech_clips(source: Path, size: str = "") -> Iterator[SourceClip]:
    """Yield the clips of the table of a size; by default, of the largest that is there."""
    reader = CorpusReader(source, REAZONSPEECH.expects)
    yield from reader.checked(_clips(reader, size))


def _clips(reader: CorpusReader, size: str) -> Iterator[SourceClip]:
    tables = _tables(reader.source)
    table = tables.get(size) if size else next((tables[name] for name in reversed(SIZES) if name in tables), None)
    if table is None:
        reader.fault(reader.source, f"there is no table {size or SIZES[0]}.tsv")
        return
    top = table.parent.parent if table.parent != reader.source and reader.source.is_dir() else table.parent
    for line, text in reader.lines(table):
        name, tab, words = text.partition("\t")
        if not (tab and name.strip() and words.strip()):
            reader.fault(table, "expected a file, a tab and a text", line)
            continue
        places = [top / folder / name.strip().removeprefix("./") for folder in _FOLDERS]
        audio = next((path for path in places if is_file(path)), places[0])
        if not is_file(audio) and (archive := _archive(places)):
            reader.fault(table, f"{reader.name(archive)} is not unpacked; unpack it where it is", line)
            return
        if found := reader.named(audio, table, line):
            yield reader.clip(found, text=words.strip())


def _archive(places: list[Path]) -> Path | None:
    """Return the archive that holds a file, if it is there."""
    return next((path for place in places if (path := place.parent.with_suffix(".tar")).is_file()), None)


def _tables(source: Path) -> dict[str, Path]:
    folders = [folder for folder in (source, source / "v2-tsv", source / "tsv") if folder.is_dir()]
    found = [folder / f"{size}.tsv" for folder in folders for size in SIZES]
    return {path.stem: path for path in found if path.is_file()}


REAZONSPEECH = Importer(
    name="reazonspeech",
    expects="a folder with tiny.tsv, small.tsv … (at the top or in v2-tsv/) and the unpacked archives",
    accepts=lambda source: bool(_tables(source)),
    read=reazonspeech_clips,
    options=(FormatOption("size", "table to take [default: the largest]", SIZES),),
    protocol=lambda source, size="": "ReazonSpeech, no published splits",
)

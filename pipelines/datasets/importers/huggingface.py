"""Hugging Face datasets on disk, as ``Dataset.save_to_disk`` and ``DatasetDict.save_to_disk`` write them.

The Arrow files are read with pyarrow, so the package `datasets` is not needed. The column of type Audio is found by the
dataset's own features; class labels become their names. The splits of a DatasetDict are kept. A row whose column
`language` (or `lang`, `locale`) names another language than the slot's goes to quarantine.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from elp_core.groups import GROUP
from elp_core.types import Split
from pipelines.datasets.delivery import SPLIT_NAMES, ClipFault, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.audio_table import USUAL_NAMES
from pipelines.datasets.importers.corpus_files import CorpusReader, comma_list, named_columns
from pipelines.datasets.importers.manifest_text import printable, read_text
from pipelines.datasets.importers.row_values import LANGUAGE_KEYS, group_value, text_value
from pipelines.errors import IntakeError
from pipelines.registry.plain_json import shape_fault

_COLUMNS = ("audio", "text", "speaker", "label", "condition", "language", GROUP)
_USUAL = USUAL_NAMES | {"language": LANGUAGE_KEYS}


def huggingface_clips(source: Path, columns: str = "", splits: str = "") -> Iterator[SourceClip]:
    """Yield the rows of the dataset, split by split."""
    reader = CorpusReader(source, HUGGINGFACE.expects)
    chosen = named_columns(columns)
    yield from reader.checked(_all_clips(reader, comma_list(splits), chosen), held=False)


def _all_clips(reader: CorpusReader, splits: list[str], chosen: Mapping[str, str]) -> Iterator[SourceClip]:
    for folder in _datasets(reader, splits):
        try:
            yield from _clips(reader, folder, chosen)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            reader.fault(folder, f"it is not a dataset that save_to_disk wrote ({shape_fault(error)}); save it again")


def _clips(reader: CorpusReader, folder: Path, chosen: Mapping[str, str]) -> Iterator[SourceClip]:
    state, features = (_json(reader, folder / name) for name in ("state.json", "dataset_info.json"))
    features = features.get("features") or {}
    if state.get("_indices_data_files") or state.get("_indices_files"):
        reader.fault(folder / "state.json", "it has an indices mapping of an old release; save it again to disk")
        return
    places = _places(reader, folder, features, chosen)
    number = 0
    files = [str(entry["filename"]) for entry in state.get("_data_files", ())]
    for name in files if places else ():
        if path := reader.named(folder / name, folder / "state.json"):
            for row in _rows(reader, path, [*places.values()]):
                yield from _clip(reader, folder, number, row, places, features)
                number += 1


def _clip(
    reader: CorpusReader,
    folder: Path,
    number: int,
    row: Mapping[str, Any],
    places: Mapping[str, str],
    features: Mapping[str, Any],
) -> Iterator[SourceClip]:
    audio = row[places["audio"]] or {}
    content, named = audio.get("bytes"), audio.get("path") or ""
    words: dict[str, Any] = {
        what: _word(row[column], features.get(column, {}))
        for what, column in places.items()
        if what not in ("audio", GROUP)
    }
    faults: list[str] = []
    if GROUP in places:
        words[GROUP] = group_value({GROUP: row[places[GROUP]]}, faults)
    # one clip's value is no fault of the dataset
    fault = ClipFault("bad_group", faults[0]) if faults else None
    split: Split | Literal[""] = SPLIT_NAMES.get(folder.name.lower(), "") if folder != reader.source else ""
    name = f"{folder.name}/{number:07d}" + (f"-{Path(named).name}" if named else "")
    if content is None and (found := reader.named(folder / named, folder / "state.json")):
        content = found.read_bytes()
    if content is not None:
        yield SourceClip(printable(name), content, split=split, fault=fault, **words)


def _word(value: Any, feature: Any) -> str:
    if feature.get("_type") == "ClassLabel" and isinstance(value, int):
        # -1 is the label of a row that has none
        return str(feature["names"][value]) if 0 <= value < len(feature["names"]) else ""
    faults: list[str] = []
    text = text_value({"value": value}, ("value",), faults)
    if faults:
        raise TypeError(faults[0])
    return text


def _places(
    reader: CorpusReader, folder: Path, features: Mapping[str, Any], chosen: Mapping[str, str]
) -> dict[str, str]:
    """Return the column of the audio and of each word; empty after a fault."""
    sounds = [name for name, kind in features.items() if isinstance(kind, dict) and kind.get("_type") == "Audio"]
    usual = {what: [name for name in _USUAL[what] if name in features] for what in _COLUMNS[1:]}
    places = {"audio": sounds[0]} if len(sounds) == 1 else {}
    places |= {what: names[0] for what, names in usual.items() if names} | dict(chosen)
    info, has = folder / "dataset_info.json", ", ".join(features) or "none"
    if strange := [f"{what}={of}" for what, of in chosen.items() if what not in _COLUMNS or of not in features]:
        reader.fault(info, f"columns has {', '.join(strange)}; expected some of {', '.join(_COLUMNS)}, each with {has}")
        return {}
    if "audio" not in places:
        reader.fault(info, f"which column is the audio? it has {has}; say it with --columns audio=…")
        return {}
    return places


def _rows(reader: CorpusReader, path: Path, columns: list[str]) -> Iterator[Mapping[str, Any]]:
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as batches:
            for batch in batches:
                yield from batch.select(columns).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reader.fault(path, f"it is not an Arrow file of this dataset ({error}); save the dataset again")


def _datasets(reader: CorpusReader, splits: list[str]) -> list[Path]:
    source = reader.source
    if not (source / "dataset_dict.json").is_file():
        return [source]
    named = [str(name) for name in _json(reader, source / "dataset_dict.json").get("splits", ())]
    if unknown := sorted(set(splits) - set(named)):
        reader.fault(source / "dataset_dict.json", f"there is no split {', '.join(unknown)}; it has {', '.join(named)}")
    return [source / name for name in named if name in splits or not splits]


def _json(reader: CorpusReader, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_text(path))
    except (IntakeError, ValueError, RecursionError) as error:
        reader.fault(path, f"it cannot be read ({printable(str(error))}); save the dataset again")
        return {}
    return values if isinstance(values, dict) else {}


HUGGINGFACE = Importer(
    name="huggingface",
    expects="a folder of save_to_disk: state.json with data-*.arrow, or dataset_dict.json with a folder for each split",
    accepts=lambda source: (source / "state.json").is_file() or (source / "dataset_dict.json").is_file(),
    read=huggingface_clips,
    options=(
        FormatOption("columns", f"which column is what: {', '.join(_COLUMNS)} [default: by type and usual name]"),
        FormatOption("splits", "splits of a DatasetDict to take [default: all]"),
    ),
)

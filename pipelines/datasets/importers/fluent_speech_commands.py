"""Fluent Speech Commands: ``data/{train,valid,test}_data.csv`` and ``wavs/speakers/<speaker>/*.wav``.

The intent is the three slots of a command together, ``action+object+location``, as in the published evaluations.
The groups of a speaker are those of ``data/speaker_demographics.csv``.
"""

from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.importers.corpus_files import CorpusReader, is_file, known_groups, short_gender

_FOLDER = "fluent_speech_commands_dataset"
_COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")
_SPLITS = ("train", "valid", "test")
_GROUPS = {"gender": "Gender", "age": "ageRange", "first_language": "First Language spoken"}
"""Column of each key in ``data/speaker_demographics.csv``."""


def fluent_clips(source: Path) -> Iterator[SourceClip]:
    """Yield the clips of the three tables, in the order of their rows."""
    reader = CorpusReader(source, FLUENT.expects)
    yield from reader.checked(_clips(reader, _top(source)))


def _clips(reader: CorpusReader, top: Path) -> Iterator[SourceClip]:
    groups = _groups(reader, top / "data" / "speaker_demographics.csv")
    for split in _SPLITS:
        path = top / "data" / f"{split}_data.csv"
        for line, row in reader.table(path, ",", _COLUMNS):
            if audio := reader.named(top / row["path"], path, line):
                yield reader.clip(
                    audio,
                    text=row["transcription"],
                    speaker=row["speakerId"],
                    label="+".join(row[name].strip() for name in ("action", "object", "location")),
                    split=SPLIT_NAMES[split],
                    group=groups.get(row["speakerId"], ""),
                )


def _groups(reader: CorpusReader, path: Path) -> dict[str, str]:
    """Return gender, age band and first language of each speaker, if the corpus has them."""
    found = dict[str, str]()
    for line, row in reader.table(path, ",", ("speakerId",)) if is_file(path) else ():
        values = {key: row.get(column, "") for key, column in _GROUPS.items()}
        values["gender"] = short_gender(values["gender"])
        found[row["speakerId"]] = known_groups(reader, path, line, **values)
    return found


def _top(source: Path) -> Path:
    return source / _FOLDER if (source / _FOLDER).is_dir() else source


FLUENT = Importer(
    name="fluent-speech-commands",
    expects=f"the folder {_FOLDER} with data/train_data.csv, data/valid_data.csv, data/test_data.csv and wavs/",
    accepts=lambda source: any((_top(source) / "data" / f"{split}_data.csv").is_file() for split in _SPLITS),
    read=fluent_clips,
    protocol=lambda source: "Fluent Speech Commands, published splits, intent = action+object+location",
)

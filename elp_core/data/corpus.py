"""Shards: immutable Parquet files of clips, with their FLAC bytes and their measurements."""

import dataclasses
import hashlib
import io
import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from elp_core.audio import Waveform, clip_id, encode_flac, measure
from elp_core.data.extra_columns import EXTRA_TEXTS, with_extra_texts
from elp_core.errors import CorpusError
from elp_core.files import write_whole
from elp_core.names import normal_name
from elp_core.types import SAMPLE_RATE, SPLITS, Clip, Decibels, Hertz, Seconds, Split


@dataclass(frozen=True)
class ShardRow:
    """One clip as a row of a shard: the values of `Clip`, and the measurements with the units of `audio.measure`."""

    id: str
    audio: bytes
    path: str
    duration: Seconds
    split: Split
    text: str
    speaker: str
    label: str
    condition: str
    rms_db: Decibels
    peak: float
    clipping: float
    dc: float
    silence: float
    snr_db: Decibels
    source_rate: Hertz
    """Sampling rate of the clip's source file."""
    delivery: str
    """Name of the clip's delivery."""
    teacher: str = ""
    """As `Clip.teacher`; the shard has the column only if a row has a value."""
    group: str = ""
    """As `Clip.group`; the shard has the column only if a row has a value."""


_TEXTS = ("split", "text", "speaker", "label", "condition")
_NAMES = ("speaker", "label", "condition")
_MEASURES = ("rms_db", "peak", "clipping", "dc", "silence", "snr_db")
_META = ("id", "duration", *_TEXTS)
_GIVEN = ("path", "text", "speaker", "label", "condition", "delivery")


def _schema(extra: Collection[str] = ()) -> pa.Schema:
    fields = [
        pa.field("id", pa.string()),
        pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("duration", pa.float64()),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        *(pa.field(name, pa.float64()) for name in _MEASURES),
        pa.field("source_rate", pa.int32()),
        pa.field("delivery", pa.string()),
        *(pa.field(name, pa.string()) for name in EXTRA_TEXTS if name in extra),
    ]
    kinds = {pa.string(): "string", pa.float64(): "float64", pa.int32(): "int32"}
    features: dict[str, Any] = {
        field.name: {"_type": "Audio", "sampling_rate": SAMPLE_RATE}
        if field.name == "audio"
        else {"_type": "Value", "dtype": kinds[field.type]}
        for field in fields
    }
    # with this, Hugging Face `datasets` decodes the audio column
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


SCHEMA: pa.Schema = _schema()
"""Columns that every shard has."""


def make_row(samples: Waveform, *, split: Split, source_rate: Hertz = SAMPLE_RATE, **texts: str) -> ShardRow:
    """Make the row of a clip from its float32 [samples] at 16 kHz: compute id, FLAC bytes and measurements.

    `texts` are the other columns, all text; those not given are empty.
    """
    columns: dict[str, Any] = {**dict.fromkeys(_GIVEN, ""), **texts, **dataclasses.asdict(measure(samples))}
    return ShardRow(id=clip_id(samples), audio=encode_flac(samples), split=split, source_rate=source_rate, **columns)


def write_shard(rows: Sequence[ShardRow | Mapping[str, Any]], folder: Path) -> Path:
    """Write rows as one immutable shard, named by its content: the same rows in any order give the same file.

    Mappings have the columns of `SCHEMA`, and perhaps those of `EXTRA_TEXTS`. The path is ``<16 hex digits>.parquet``
    in `folder`.

    Raises:
        CorpusError: There are no rows, an id occurs twice, a row lacks a column, or a clip with a pseudo-label is not
            in the training split.
    """
    records = sorted((_record(row) for row in rows), key=lambda record: str(record["id"]))
    if not records:
        raise CorpusError("a shard needs one row or more, got none")
    twice = sorted({a["id"] for a, b in itertools.pairwise(records) if a["id"] == b["id"]})
    if twice:
        raise CorpusError(
            f"clips that occur twice in one shard: {len(twice)}, the first is {twice[0]}; drop the copies"
        )
    extra = [name for name in EXTRA_TEXTS if any(record[name] for record in records)]
    schema = _schema(extra) if extra else SCHEMA
    table = pa.Table.from_pylist(records, schema=schema)
    # FLAC does not compress any further; small row groups let a reader take a split without the rest
    codecs = {column: "zstd" for column in schema.names if column != "audio"}
    codecs |= {"audio.bytes": "none", "audio.path": "zstd"}
    shard = io.BytesIO()
    pq.write_table(table, shard, compression=codecs, row_group_size=2000, use_dictionary=[*_TEXTS, "delivery", *extra])
    target = folder / f"{hashlib.sha256(shard.getbuffer()).hexdigest()[:16]}.parquet"
    write_whole(target, shard.getvalue())
    return target


def _record(row: ShardRow | Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as the columns of `SCHEMA` and `EXTRA_TEXTS`."""
    if isinstance(row, ShardRow):
        record = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        record["audio"] = {"bytes": row.audio, "path": record.pop("path")}
    else:
        record = dict(row)
    # a row of a shard without the column has no value
    record |= {name: record.get(name) or "" for name in EXTRA_TEXTS}
    missing = [name for name in SCHEMA.names if record.get(name) is None]
    if missing:
        raise CorpusError(f"row {record.get('id', '(no id)')} lacks the columns {', '.join(missing)}")
    if record["split"] not in SPLITS:
        raise CorpusError(f"row {record['id']} has the split {record['split']!r}, expected one of {', '.join(SPLITS)}")
    if record["teacher"] and record["split"] != "train":
        # a model must not be judged, nor its epoch chosen, by what another model wrote
        raise CorpusError(
            f"clip {record['id']} has a pseudo-label and the split {record['split']!r}; expected 'train', the only "
            "split that may have one"
        )
    return record


def read_table(
    paths: Sequence[Path], columns: Sequence[str] | None = None, splits: Collection[Split] | None = None
) -> pa.Table:
    """Read columns of shards (None: those of `SCHEMA`) as one Arrow table in the order of `paths`.

    Only rows of `splits` are read (None: all).

    Raises:
        CorpusError: A file is missing or is not a shard; the message names it.
    """
    chosen = None if splits is None else [("split", "in", sorted(splits))]
    wanted = list(SCHEMA.names if columns is None else columns)
    tables = [_schema(EXTRA_TEXTS).empty_table().select(wanted)]
    for path in paths:
        try:
            found = with_extra_texts(pq.read_table(path, columns=_stored(path, wanted), filters=chosen), wanted)
            tables.append(found.select(wanted).cast(tables[0].schema))
        except FileNotFoundError as error:
            raise CorpusError(f"shard {path} does not exist; fetch the dataset version again") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorpusError(f"{path} cannot be read as a shard: {error}") from error
    return pa.concat_tables(tables)


def _stored(path: Path, wanted: Sequence[str]) -> list[str]:
    """Return the columns without those of `EXTRA_TEXTS` that the shard does not have."""
    if not set(EXTRA_TEXTS) & set(wanted):
        return list(wanted)
    names = pq.read_schema(path).names
    return [name for name in wanted if name in names or name not in EXTRA_TEXTS]


def read_clips(
    paths: Sequence[Path], splits: Collection[Split] | None = None, columns: Literal["all", "meta"] = "all"
) -> list[Clip]:
    """Read clips of shards, sorted by id, so that the order never depends on the deliveries.

    Names are in their normal form, in whichever spelling a shard has them.
    `splits` None reads all; the columns ``meta`` are those without the audio (`Clip.audio` is then empty).

    Raises:
        CorpusError: A shard cannot be read, or two shards contain the same clip.
    """
    audio = ["audio"] if columns == "all" else []
    table = read_table(paths, [*_META, *EXTRA_TEXTS, *audio], splits)
    clips = []
    for record in table.to_pylist():
        sound = record.pop("audio", None) or {"bytes": b"", "path": ""}
        names = {column: normal_name(record[column]) for column in _NAMES}
        clips.append(Clip(audio=sound["bytes"], path=sound["path"], **record | names))
    clips.sort(key=lambda clip: clip.id)
    # a clip in two shards would be in the training twice, or in two splits
    for before, after in itertools.pairwise(clips):
        if before.id == after.id:
            raise CorpusError(f"clip {after.id} is in two shards; the dataset version is inconsistent, add it again")
    return clips

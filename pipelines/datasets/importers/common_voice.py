"""Mozilla Common Voice: the folder of a language with ``clips/*.mp3``, ``train.tsv``, ``validated.tsv`` and others.

The speaker is `client_id`, with the gender, the age and the accent that the tables have. A speaker may describe the
accent in words of his own; a text that is too long for a group is left out. The tables train, dev and test give their
splits; of validated and other, the speaker decides. Clips of ``invalidated.tsv``, and clips whose sentence is in
``reported.tsv``, go to quarantine; so do those whose `locale` is another language than the slot's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from elp_core.groups import MOST_LETTERS
from pipelines.datasets.delivery import SPLIT_NAMES, ClipFault, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import CorpusReader, comma_list, known_groups, short_gender

_PUBLISHED = ("train", "dev", "test")
_TABLES = (*_PUBLISHED, "validated", "other", "invalidated")


def common_voice_clips(source: Path, tables: str = "", reported: str = "quarantine") -> Iterator[SourceClip]:
    """Yield the clips of the chosen tables, each clip once: the first table that has it gives the split."""
    reader = CorpusReader(source, COMMON_VOICE.expects)
    yield from reader.checked(_clips(reader, tables, reported))


def _clips(reader: CorpusReader, tables: str, reported: str) -> Iterator[SourceClip]:
    source, seen = reader.source, set[Path]()
    chosen = comma_list(tables) or _default_tables(source)
    if unknown := [name for name in chosen if name not in _TABLES]:
        reader.fault(source, f"there is no table {', '.join(unknown)}; expected some of {', '.join(_TABLES)}")
        return
    complaints = _complaints(reader) if reported == "quarantine" else {}
    invalid = _paths(reader, source / "invalidated.tsv")
    for name in chosen:
        table = source / f"{name}.tsv"
        for line, row in reader.table(table, "\t", ("client_id", "path", "sentence")):
            audio = reader.named(source / "clips" / row["path"], table, line)
            if audio is None or audio in seen:
                continue
            seen.add(audio)
            fault = None
            if name == "invalidated" or row["path"] in invalid:
                fault = ClipFault("invalidated", "the voters of Common Voice refused it (invalidated.tsv)")
            elif why := complaints.get(row["sentence"]):
                fault = ClipFault("reported", f"its sentence was reported: {why}")
            split = SPLIT_NAMES.get(name, "")
            words = {"text": row["sentence"], "speaker": row["client_id"], "language": row.get("locale", "").strip()}
            said = {"gender": short_gender(row.get("gender", "")), "age": row.get("age", ""), "accent": _accent(row)}
            words["group"] = known_groups(reader, table, line, **said)
            yield reader.clip(audio, **words, split=split, fault=fault)


def _accent(row: Mapping[str, str]) -> str:
    """Return the accent of a row, which older releases have in another column; empty for a description."""
    text = row.get("accents") or row.get("accent") or ""
    return text if len(text) <= MOST_LETTERS and not set(text) & set(";=") else ""


def _default_tables(source: Path) -> list[str]:
    published = [name for name in _PUBLISHED if (source / f"{name}.tsv").is_file()]
    return published or ["validated"]


def _paths(reader: CorpusReader, table: Path) -> set[str]:
    return {row["path"] for _, row in reader.table(table, "\t", ("path",))} if table.is_file() else set()


def _complaints(reader: CorpusReader) -> dict[str, str]:
    """Return the reason for each sentence in ``reported.tsv``; older releases have no such table."""
    table = reader.source / "reported.tsv"
    rows = reader.table(table, "\t", ("sentence", "reason")) if table.is_file() else ()
    return {row["sentence"]: row["reason"] for _, row in rows}


def _protocol(source: Path, tables: str = "", reported: str = "quarantine") -> str:
    return f"Common Voice, {', '.join(comma_list(tables) or _default_tables(source))}"


COMMON_VOICE = Importer(
    name="common-voice",
    expects="the folder of one language with clips/ and train.tsv, dev.tsv, test.tsv or validated.tsv",
    accepts=lambda source: (source / "clips").is_dir() and any((source / f"{name}.tsv").is_file() for name in _TABLES),
    read=common_voice_clips,
    options=(
        FormatOption("tables", "tables to take [default: train,dev,test; else validated]"),
        FormatOption("reported", "clips with a reported sentence [default: quarantine]", ("quarantine", "keep")),
    ),
    protocol=_protocol,
)

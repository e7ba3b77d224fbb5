"""The language of a slot's transcripts: their normal form, the units that the slot pins, and what may not be mixed."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from elp_core.errors import ConfigError
from elp_core.languages import LanguageConfig, Units, build_units, rare_characters
from pipelines.datasets.dataset_version import DATASET_FILE, DatasetVersion, TranscriptLanguage
from pipelines.errors import UsageError, VersioningError
from pipelines.registry.slot import Slot


def declared_language(slot: Slot, config: LanguageConfig) -> TranscriptLanguage:
    """Return what a slot's records say of its language: nothing for English, and for a task without transcripts."""
    language, english = config.resolve(), LanguageConfig().resolve()
    if "text" not in slot.task_spec.needs or (language.code, language.digest) == (english.code, english.digest):
        return TranscriptLanguage()
    return TranscriptLanguage(language.code, language.normaliser_id())


def require_same_language(version: DatasetVersion, config: LanguageConfig, *, normaliser: bool = True) -> None:
    """Refuse settings that do not fit the transcripts or the units of a dataset version; raise UsageError.

    Transcripts in two normal forms are never mixed, and the outputs of a head never change their meaning. Without
    `normaliser`, another release of the same language's normaliser is allowed: training changes no transcript.
    """
    slot, found = version.slot, version.language
    if "text" not in slot.task_spec.needs:
        return
    wanted = declared_language(slot, config)
    kinds = kind_of_units(version), config.unit_kind
    same = found == wanted if normaliser else found.code == wanted.code
    if same and kinds[0] in ("", kinds[1]):
        return
    again = f"normalise the stored ones again with: elp data renormalise {slot} --dry-run"
    if found.code == wanted.code and kinds[0] in ("", kinds[1]):
        # the settings are the same: what makes the normal form is not
        packages = " or ".join(config.resolve().packages)
        cause, made = (f"of {packages}", "the language packages") if packages else ("of this program", "ELP Foundry")
        raise UsageError(
            f"the transcripts of {version.tag} are {found}; another release {cause} makes them {wanted} here, and the "
            f"two are never mixed: {again}, or install the release of {made} that made {version.tag}"
        )
    has, asks = (f"{who}, units: {kind or 'none yet'}" for who, kind in zip((found, wanted), kinds, strict=True))
    back = "take recordings in another language into a slot of their own, or set language back in elp.yaml"
    if found.code == wanted.code:
        back = "or set the units of the language back in elp.yaml"
    raise UsageError(
        f"the transcripts of {version.tag} are {has}; elp.yaml declares {asks} for {slot}, and the two are never "
        f"mixed: {again}, {back}"
    )


def pinned_units(version: DatasetVersion) -> Units | None:
    """Return the units that a version pins; None for the default ones, and before the first training clip.

    Raise VersioningError if the record holds something else.
    """
    try:
        return Units.from_json(version.units) if version.units else None
    except (ConfigError, ValueError) as error:
        why = "; ".join(error.faults) if isinstance(error, ConfigError) else str(error)
        raise VersioningError(f"{DATASET_FILE} of {version.tag} has no units: {why}; restore it from Git") from error


def next_units(
    slot: Slot,
    config: LanguageConfig,
    current: DatasetVersion | None,
    present: Iterable[Path],
    arriving: Iterable[Path],
) -> Units | None:
    """Return the units of the version after `current`: its units in their order, then the new ones of new clips.

    `present` and `arriving` are the shards of the slot and of the delivery. None stands for the default units.
    """
    if "text" not in slot.task_spec.needs or config == LanguageConfig():
        return None
    before = _units_so_far(current) if current else None
    new = training_texts(arriving)
    units = before.extend(new) if before else _first_units(config, [*training_texts(present), *new])
    return None if units in (None, Units()) else units


def new_units(config: LanguageConfig, texts: Sequence[str], before: Units | None, *, same_texts: bool) -> Units | None:
    """Return units that are pinned anew for a slot's training transcripts; those `before` if they are the same ones.

    Subwords are learned again only from other transcripts (not `same_texts`). None stands for the default units.
    """
    if config == LanguageConfig():
        return None
    learned = before is not None and before.kind == config.unit_kind == "bpe" and same_texts
    units = before if learned else _first_units(config, texts)
    if units and before and (units.kind, units.model) == (before.kind, before.model):
        units = before if {*units.symbols} == {*before.symbols} else units
    return None if units in (None, Units()) else units


def added_units(before: DatasetVersion | None, units: Units | None) -> tuple[str, ...]:
    """Return the units that the version before did not have; none for the first units of a slot."""
    known = _units_so_far(before) if before else None
    if units is None or known is None:
        return ()
    return units.symbols[len(known.symbols) :]


def rare_letters(
    config: LanguageConfig, current: DatasetVersion | None, present: Iterable[Path], arriving: Iterable[Path]
) -> frozenset[str]:
    """Return the letters of training clips, known and new, that are too rare to learn (`min_count`) and no unit yet."""
    if config.min_count == 1:
        return frozenset()
    pinned = pinned_units(current) if current else None
    known = set("".join(pinned.symbols)) if pinned else set()
    texts = [*training_texts(present), *training_texts(arriving)]
    return frozenset(rare_characters(config, texts).keys() - known - {" "})


def training_texts(shards: Iterable[Path]) -> list[str]:
    """Return the transcripts of the training clips in shards."""
    tables = (pq.read_table(shard, columns=["text"], filters=[("split", "=", "train")]) for shard in shards)
    return [text for table in tables for text in table["text"].to_pylist()]


def _first_units(config: LanguageConfig, texts: Sequence[str]) -> Units | None:
    # before the first training clip there is nothing to order the units by
    return build_units(config, texts) if texts else None


def kind_of_units(version: DatasetVersion) -> str:
    """Return the kind of a version's units; empty before the first training clip."""
    units = _units_so_far(version)
    return units.kind if units else ""


def _units_so_far(version: DatasetVersion) -> Units | None:
    """Return the units of a version, the default ones too; None before the first training clip."""
    return pinned_units(version) or (Units() if version.splits.get("train") else None)

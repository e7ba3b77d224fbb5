"""The rules that a task's clips must fulfil, each on one column of a clip's row; `expectations` evaluates them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from elp_core.frame_rate import USUAL_FRAME_RATE
from elp_core.languages import ALPHABET, LanguageConfig, Units
from elp_core.languages.language import UnitKind
from elp_core.task_specs import Column, task_spec
from elp_core.types import SPLITS
from pipelines.registry.policies import DataPolicy

if TYPE_CHECKING:
    import pandas as pd


UNDECLARED = "undeclared_groups"
"""Column with the groups that the slot does not declare (`group_rules`)."""


@dataclass(frozen=True)
class Rule:
    """One expectation on a column; a clip that breaks it goes to quarantine for `reason`."""

    reason: str
    column: str
    kind: Literal["between", "matches", "present", "absent", "among", "unique", "counted"]
    """``counted`` only shows the column: no clip breaks it."""
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    values: tuple[str, ...] = ()
    words: str = ""
    """The rule in words, if its column says too little."""

    @property
    def expects(self) -> str:
        """Return the rule in words."""
        if self.words:
            return self.words
        if self.kind == "between":
            bounds = [
                f"{sign} {bound:g}" for sign, bound in (("≥", self.minimum), ("≤", self.maximum)) if bound is not None
            ]
            return f"{self.column} " + " and ".join(bounds)
        words = {
            "matches": f"matches {self.pattern}",
            "present": "is given",
            "absent": "is empty",
            "unique": "is unique",
        }
        return f"{self.column} " + words.get(self.kind, f"is one of {', '.join(self.values)}")


def rules_for(
    task: str, policy: DataPolicy, language: LanguageConfig | None = None, frames_per_second: float = USUAL_FRAME_RATE
) -> tuple[Rule, ...]:
    """Return the rules of a task's clips; without a language, that of the settings' default, English.

    CTC needs a frame of the backbone for a unit: a transcript with more units a second than `frames_per_second` cannot
    belong to its clip. A clip that breaks several rules is reported with the reason that comes first.
    """
    audio = (
        Rule("silent", "silence", "between", maximum=policy.max_silence),
        Rule("silent", "rms_db", "between", minimum=-100.0),
        Rule("too_short", "duration", "between", minimum=policy.min_seconds),
        Rule("too_long", "duration", "between", maximum=policy.max_seconds),
        Rule("clipped", "clipping", "between", maximum=policy.max_clipping),
        Rule("noisy", "snr_db", "between", minimum=policy.min_snr_db),
        Rule("dc_offset", "dc", "between", minimum=-0.2, maximum=0.2),
    )
    declared = "group has only keys and values that data.groups declares"
    groups = (Rule("unknown_group", UNDECLARED, "absent", words=declared),) if policy.groups else ()
    rows = (*groups, Rule("unknown_split", "split", "among", values=SPLITS), Rule("duplicate", "id", "unique"))
    rules = {**_COLUMN_RULES, "text": _text_rules(language or LanguageConfig(), frames_per_second)}
    return audio + tuple(rule for column in task_spec(task).needs for rule in rules[column]) + rows


def transcript_reasons(config: LanguageConfig) -> frozenset[str]:
    """Return the reasons of the rules on transcripts."""
    return frozenset(rule.reason for rule in _text_rules(config, USUAL_FRAME_RATE))


def text_columns(frame: pd.DataFrame, config: LanguageConfig, rare: Collection[str]) -> dict[str, pd.Series[Any]]:
    """Return the columns that the rules on transcripts need in addition to those of `frame`.

    `frame` has `text`, `split` and `duration`; training clips with a letter of `rare` have a value in `rare_letters`.
    """
    text, kind = frame["text"], config.unit_kind
    # of subwords, their characters are counted: no clip needs more
    counter = Units("characters" if kind == "bpe" else kind, (" ",))
    columns = {_pace(kind): text.map(lambda one: len(counter.split(one))).astype(float) / frame["duration"]}
    if config != LanguageConfig():
        language = config.resolve()
        columns["foreign_letters"] = text.map(lambda one: _joined(language.foreign(one, config.digits)))
        trains = frame["split"] == "train"
        columns["rare_letters"] = text.where(trains, "").map(lambda one: _joined(set(one) & set(rare)))
    return columns


def _text_rules(config: LanguageConfig, frames_per_second: float) -> tuple[Rule, ...]:
    kind = config.unit_kind
    pace = Rule("transcript_too_long", _pace(kind), "between", maximum=frames_per_second)
    if config == LanguageConfig():
        alphabet = Rule("outside_alphabet", "text", "matches", pattern=f"^[{re.escape(ALPHABET)}]*$")
        return Rule("empty_transcript", "text", "present"), alphabet, pace
    written = f"text has only what {config.resolve().name} writes"
    common = f"each letter is in the training transcripts {config.min_count} times or more"
    return (
        Rule("empty_transcript", "text", "present"),
        Rule("outside_alphabet", "foreign_letters", "absent", words=written),
        Rule("rare_letter", "rare_letters", "absent", words=common),
        pace,
    )


def _pace(kind: UnitKind) -> str:
    """Return the name of the column with the units a second."""
    return f"{'characters' if kind == 'bpe' else kind}_per_second"


def _joined(letters: Collection[str]) -> str | None:
    return " ".join(sorted(letters)) or None


_COLUMN_RULES: dict[Column, tuple[Rule, ...]] = {
    "speaker": (Rule("no_speaker", "speaker", "present"),),
    "label": (Rule("no_label", "label", "present"),),
}
"""Rules of the columns that a task needs, but for transcripts, whose rules depend on the language."""

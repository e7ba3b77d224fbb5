"""The rules that a task's clips must fulfil, each on one column of a clip's row; `expectations` evaluates them."""

import re
from dataclasses import dataclass
from typing import Literal

from elp_core.data.text import ALPHABET
from elp_core.task_specs import Column, task_spec
from elp_core.types import SPLITS
from pipelines.registry.policies import DataPolicy

MAX_LETTERS_PER_SECOND = 50.0
"""CTC needs at least 20 ms for a letter: a transcript with more letters cannot belong to its clip."""


@dataclass(frozen=True)
class Rule:
    """One expectation on a column; a clip that breaks it goes to quarantine for `reason`."""

    reason: str
    column: str
    kind: Literal["between", "matches", "present", "among", "unique"]
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    values: tuple[str, ...] = ()

    @property
    def expects(self) -> str:
        """Return the rule in words."""
        if self.kind == "between":
            bounds = [
                f"{sign} {bound:g}" for sign, bound in (("≥", self.minimum), ("≤", self.maximum)) if bound is not None
            ]
            return f"{self.column} " + " and ".join(bounds)
        words = {"matches": f"matches {self.pattern}", "present": "is given", "unique": "is unique"}
        return f"{self.column} " + words.get(self.kind, f"is one of {', '.join(self.values)}")


def rules_for(task: str, policy: DataPolicy) -> tuple[Rule, ...]:
    """Return the rules of a task's clips. A clip that breaks several is reported with the reason that comes first."""
    audio = (
        Rule("silent", "silence", "between", maximum=policy.max_silence),
        Rule("silent", "rms_db", "between", minimum=-100.0),
        Rule("too_short", "duration", "between", minimum=policy.min_seconds),
        Rule("too_long", "duration", "between", maximum=policy.max_seconds),
        Rule("clipped", "clipping", "between", maximum=policy.max_clipping),
        Rule("noisy", "snr_db", "between", minimum=policy.min_snr_db),
        Rule("dc_offset", "dc", "between", minimum=-0.2, maximum=0.2),
    )
    rows = (Rule("unknown_split", "split", "among", values=SPLITS), Rule("duplicate", "id", "unique"))
    needed = tuple(rule for column in task_spec(task).needs for rule in _COLUMN_RULES[column])
    return audio + needed + rows


_COLUMN_RULES: dict[Column, tuple[Rule, ...]] = {
    "text": (
        Rule("empty_transcript", "text", "present"),
        Rule("outside_alphabet", "text", "matches", pattern=f"^[{re.escape(ALPHABET)}]*$"),
        Rule("transcript_too_long", "letters_per_second", "between", maximum=MAX_LETTERS_PER_SECOND),
    ),
    "speaker": (Rule("no_speaker", "speaker", "present"),),
    "label": (Rule("no_label", "label", "present"),),
}
"""Rules of the columns that a task needs."""

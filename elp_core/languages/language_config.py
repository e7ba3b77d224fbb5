"""What a slot declares of its language: a code, or a code with options."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from elp_core._ranges import Checked, within
from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.languages.catalogue import codes, language
from elp_core.languages.digits import spell_digits
from elp_core.languages.language import Digits, Language, UnitKind
from elp_core.languages.table import UNDETERMINED

AUTO = "auto"
"""Letters that are taken from the transcripts."""


@dataclass(frozen=True)
class UnitsConfig(Checked):
    """Which units a head writes."""

    title: ClassVar[str] = "units"
    kind: Literal["", UnitKind] = ""
    """Empty: the language's own kind; ``bpe``: subwords learned from the transcripts (sentencepiece)."""
    size: int = within(500, 2, 20_000)
    """Number of subwords; only with ``bpe``."""


@dataclass(frozen=True)
class LanguageConfig(Checked):
    """The language of a slot: ``language: ja``, or a mapping of these keys."""

    title: ClassVar[str] = "language"
    code: str = "en"
    """A code of `elp_core.languages.codes`, or any other code together with `letters`."""
    letters: str = ""
    """The allowed letters, or ``auto``: those of the training transcripts; empty: the language's own."""
    digits: Digits = "quarantine"
    """Clips with digits: to quarantine; spelled as words; or kept, and then digits are letters too."""
    units: UnitsConfig = field(default_factory=UnitsConfig)
    min_count: int = within(1, 1)
    """Clips with a letter that is rarer than this in the training transcripts go to quarantine."""

    @classmethod
    def parse(cls, value: object) -> LanguageConfig:
        """Return the configuration that a setting declares: a code or a mapping. Letters without a code mean ``und``.

        Raises:
            ConfigError: The value is neither, or has unknown keys, or does not fit.
        """
        if isinstance(value, str):
            return cls(value)
        if value is False or (isinstance(value, Mapping) and value.get("code") is False):
            raise ConfigError("language", ["YAML reads no as false; write Norwegian in quotes: 'no'"])
        if not isinstance(value, Mapping):
            raise ConfigError("language", [f"{value!r} is no language; expected a code such as ja, or a mapping"])
        code = {} if "code" in value or not value.get("letters") else {"code": UNDETERMINED.code}
        units = value.get("units")
        short = {"units": {"kind": units}} if isinstance(units, str) else {}
        return from_dict(cls, {**code, **value, **short}, "language")

    def other_faults(self) -> list[str]:
        """Return the faults of an unknown code without letters, and of digits that cannot be spelled."""
        known = self.code in codes() or self.code == UNDETERMINED.code
        faults = []
        if not self.code.strip():
            faults.append("code is empty, expected such as ja")
        elif not known and not self.letters:
            faults.append(
                f"{self.code!r} is no language, expected one of {', '.join(codes())}; or add letters: auto to it"
            )
        elif self.digits == "spell" and not self.resolve().spells:
            faults.append(f"digits of {self.code} cannot be spelled (num2words); expected quarantine or keep")
        return faults

    def transcript(self, text: str) -> str:
        """Return a delivered transcript as it is stored: digits spelled if they are to be, in the normal form.

        What remains foreign to the language (`Language.foreign` with `digits`) belongs in quarantine.

        Raises:
            ConfigError: A package of the language is not installed.
        """
        found = self.resolve()
        return found.normalise(spell_digits(text, found).text if self.digits == "spell" else text)

    @property
    def unit_kind(self) -> UnitKind:
        """The kind of unit that the slot's head writes: the declared one, or the language's own.

        Letters of a script without spaces are characters: no blank is among them.
        """
        found = self.resolve()
        kind = self.units.kind or found.units
        return "characters" if kind == "letters" and not found.spaced else kind

    def resolve(self) -> Language:
        """Return the language with the letters that are declared here; equal configurations share one."""
        return _resolved(self)


@functools.lru_cache(maxsize=64)
def _resolved(config: LanguageConfig) -> Language:
    found = language(config.code) if config.code in codes() else dataclasses.replace(UNDETERMINED, code=config.code)
    if not config.letters:
        return found
    if config.letters == AUTO:
        return dataclasses.replace(found, letters="")
    letters = found.normalise(config.letters).replace(" ", "")
    return dataclasses.replace(found, letters="".join(dict.fromkeys(letters)))

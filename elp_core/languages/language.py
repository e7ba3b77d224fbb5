"""`Language`: all that decides how transcripts of one language are stored, learned and scored."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from elp_core.errors import ConfigError
from elp_core.languages.normal_form import MARKS, NormalForm

_LETTERLIKE = "〇\u200c\u200d"
"""The Chinese zero, and the joiners of Persian and Indic words: letters that Unicode does not class as such."""
Metric = Literal["wer", "cer"]
LetterKind = Literal["letters", "characters", "syllables", "jamo"]
UnitKind = Literal[LetterKind, "bpe"]
Digits = Literal["quarantine", "spell", "keep"]


@dataclass(frozen=True)
class NormaliserId:
    """Which normaliser made a text; two that differ make scores that cannot be compared."""

    name: str
    """Such as ``ja/1``."""
    digest: str
    """``sha256:<hex>`` of its rules and of the versions of the packages that decide it."""

    @property
    def code(self) -> str:
        """Return the code of its language (BCP 47), such as ``ja``; ``und`` for one that is not in the table."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, eq=False)
class Language:
    """One language. `language` of `elp_core.languages` finds it by its code."""

    code: str
    """BCP 47 code, such as ``ja``; ``und`` for a language that is not in the table."""
    name: str
    letters: str
    """Allowed letters, lower case, without the space; empty: any letter, taken from the transcripts."""
    form: NormalForm = field(default_factory=NormalForm)
    spaced: bool = True
    """Whether blanks separate words."""
    metric: Metric = "wer"
    """The metric that decides."""
    units: LetterKind = "letters"
    """Kind of unit, if a slot declares none."""
    spells: str = ""
    """Code of the language in num2words; empty if digits cannot be spelled."""
    version: int = 1
    """Raised when the normaliser's code changes."""
    step: Callable[[str], str] | None = None
    """What the normaliser does before `form`, if it needs code."""
    packages: tuple[str, ...] = ()
    """Distributions whose versions decide the normal form."""
    variants: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    """Further scorings: each converts normal transcripts before they are compared again."""

    def normalise(self, text: str) -> str:
        """Return a transcript as it is stored, trained on and scored. Law: idempotent.

        Digits and foreign letters are kept; `foreign` finds them.

        Raises:
            ConfigError: A package of the language is not installed.
        """
        before = None
        while self.step and text != before:
            before, text = text, self.form.apply(self.step(text))
        return text if self.step else self.form.apply(text)

    def foreign(self, text: str, digits: Digits = "quarantine") -> set[str]:
        """Return the characters of a normal transcript that the language does not write; `keep` allows digits."""
        if self.letters:
            strange = set(text) - self._allowed
        else:
            strange = {char for char in set(text) - self._allowed if unicodedata.category(char)[0] not in "LM"}
        return {char for char in strange if not _is_number(char)} if digits == "keep" else strange

    @functools.cached_property
    def _allowed(self) -> set[str]:
        return {" ", *self.letters, *("'" if self.apostrophes else ""), *("" if self.letters else _LETTERLIKE)}

    @property
    def marks(self) -> str:
        """Sentence marks that are dropped."""
        return MARKS + self.form.marks

    @property
    def apostrophes(self) -> bool:
        """Whether the apostrophe is a letter."""
        return self.form.apostrophes

    @property
    def normaliser(self) -> str:
        """Name of the normaliser, such as ``ja/1``."""
        return f"{self.code}/{self.version}"

    @functools.cached_property
    def digest(self) -> str:
        """``sha256:<hex>`` of the rules of the normaliser and of the versions of the packages that decide it.

        Raises:
            ConfigError: A package of the language is not installed.
        """
        return _digest(
            {
                "normaliser": self.normaliser,
                "common": NormalForm.common(),
                "form": dataclasses.asdict(self.form),
                "packages": {name: _installed(name, self.name) for name in self.packages},
            }
        )

    def normaliser_id(self) -> NormaliserId:
        """Return name and digest of the normaliser; raises as `digest`."""
        return NormaliserId(self.normaliser, self.digest)


def package_missing(name: str, used_by: str) -> ConfigError:
    """Return the error for a package of the extra ``languages`` that is not installed."""
    return ConfigError("language", [f"{used_by} needs the package {name}: pip install 'elp-foundry[languages]'"])


def _digest(values: Mapping[str, object]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _installed(package: str, language: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise package_missing(package, language) from error


def _is_number(char: str) -> bool:
    """Return whether a character is a digit, a symbol such as %, or a mark inside a number."""
    return unicodedata.category(char)[0] in "NS" or char in ".,:%&@#*+"

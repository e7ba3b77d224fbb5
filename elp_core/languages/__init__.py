"""Languages: how the transcripts of a slot are normalised, which units its head writes, and which metric decides.

- `table`: languages whose rules are data, one row each; `ja`: Japanese, which needs code.
- `language`, `normal_form`: the class `Language`, and its normaliser as data that can be hashed.
- `catalogue`: the languages by code; `language_config`: what a slot declares.
- `digits`: digits as words; `units`, `subwords`: the inventory of a head, from transcripts; `renormalising`: whether
  one normal form can be made from another one.

No module here imports torch; the packages of the extra ``languages`` are imported when they are first used.

>>> from elp_core.languages import language
>>> language("de").normalise("Ja,nein: „Straße“!")
'ja nein straße'
"""

from elp_core.languages.catalogue import codes, language
from elp_core.languages.language import Language, Metric, NormaliserId
from elp_core.languages.language_config import LanguageConfig, UnitsConfig
from elp_core.languages.units import ALPHABET, BLANK, Units, build_units, rare_characters, units_text

__all__ = [
    "ALPHABET",
    "BLANK",
    "Language",
    "LanguageConfig",
    "Metric",
    "NormaliserId",
    "Units",
    "UnitsConfig",
    "build_units",
    "codes",
    "language",
    "rare_characters",
    "units_text",
]

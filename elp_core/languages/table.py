"""Languages with a plain alphabet: one row each. A language that needs code has a file of its own."""

from elp_core.languages.language import Language
from elp_core.languages.normal_form import NormalForm

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_KEPT = NormalForm(apostrophes=True)

ROWS: tuple[Language, ...] = (
    # ß folds to ss and apostrophes are kept, as in the first release: bundles depend on it
    Language("en", "English", f"'{_LATIN}", NormalForm(fold="casefold", apostrophes=True), spells="en"),
    # ß is a letter (Maße is not Masse); the apostrophe of geht's may be left out (Duden)
    Language("de", "German", f"{_LATIN}äöüß", spells="de"),
)

UNDETERMINED = Language("und", "a language that is not in the table", "", _KEPT)
"""Any spaced script: letters from the transcripts."""

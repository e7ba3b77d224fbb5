"""How the package ctc-beam-decoder writes the units of a head, and what its language model takes for a word.

Letters are written as they are, and the space ends a word. Of the kind ``characters``, each is a word of its own, so
that an n-gram model is one of characters: the package's sign for the start of a word stands before it. Subwords have
that sign already.
"""

from elp_core.languages import Units
from elp_core.languages.subwords import SPACE

BETWEEN_WORDS = "␣"
"""The space between Latin words in a script without spaces, as a word of a character n-gram model."""


def beam_labels(units: Units) -> tuple[str, ...]:
    """Return the label of each unit, in their order."""
    if units.kind != "characters":
        return units.symbols
    return tuple(SPACE + (BETWEEN_WORDS if unit == " " else unit) for unit in units.symbols)


def spelling(units: Units, text: str) -> list[str]:
    """Return labels that spell a text of the package; all spellings of a text have the same words."""
    if units.kind == "characters" or (units.kind == "bpe" and units.spaced):
        return [label for word in text.split() for label in (SPACE + word[0], *word[1:])]
    return list(text)


def hotword_labels(units: Units, expression: str) -> list[str]:
    """Return the words of an expression as a text of the package writes them."""
    return ("".join(units.split(expression)) if units.kind == "jamo" else expression).split()


def written(units: Units, text: str) -> str:
    """Return the transcript of a text of the package."""
    if units.kind == "characters":
        text = "".join(text.split()).replace(BETWEEN_WORDS, " ")
    return units.join(text)

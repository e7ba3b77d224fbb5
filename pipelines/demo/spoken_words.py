"""The words of the synthetic voices (`spoken_words.txt`): digits, commands, and words for pseudo-random sentences."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

DIGITS, COMMANDS, WORDS = (
    tuple(paragraph.split())
    for paragraph in files(__package__).joinpath("spoken_words.txt").read_text(encoding="utf-8").split("\n\n")
)


def sentence(rng: np.random.Generator) -> str:
    """Draw something to say: one to four digits (30 %), one to three commands (30 %), or two to seven words."""
    kind = rng.random()
    if kind < 0.3:
        return " ".join(rng.choice(DIGITS, size=rng.integers(1, 5)))
    if kind < 0.6:
        return " ".join(rng.choice(COMMANDS, size=rng.integers(1, 4)))
    return " ".join(rng.choice(WORDS, size=rng.integers(2, 8)))

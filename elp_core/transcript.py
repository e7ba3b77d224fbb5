"""A transcript with times, as a value that needs no network and no torch.

Words are those of `elp_core.inference.word_times.words_of`.
"""

from dataclasses import dataclass

from elp_core.types import Seconds


@dataclass(frozen=True)
class Word:
    """A word of a transcript. In a script without spaces, each unit counts as a word, see `words_of`."""

    text: str
    start: Seconds
    end: Seconds
    confidence: float
    """0 to 1; see `words_of`."""


@dataclass(frozen=True)
class Segment:
    """Words that were spoken without a long pause."""

    start: Seconds
    """Start of its first word."""
    end: Seconds
    """End of its last word."""
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Transcript:
    """What is said in a recording, and when."""

    text: str
    seconds: Seconds
    """Length of the recording, as decoded."""
    segments: tuple[Segment, ...]
    spaced: bool = True
    """Whether words have spaces between them. In a script without spaces, each unit counts as a word."""

    @property
    def words(self) -> tuple[Word, ...]:
        """Return all words, in order."""
        return tuple(word for segment in self.segments for word in segment.words)

"""Where an answer differs from its reference: which words or characters are missing, added or replaced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Levenshtein

MarkKind = Literal["same", "missing", "added", "replaced"]
_CELLS = 3_600
"""Of a table that is filled in Python; longer texts are aligned in C, which leaves equal tokens to chance."""


@dataclass(frozen=True)
class Mark:
    """A part of an answer."""

    kind: MarkKind
    text: str
    """As it was answered; of a missing part, as it was said."""
    said: str = ""
    """What a replaced part stands for; empty for other kinds."""


def split_tokens(text: str, counted: str, spaces: bool) -> list[str]:
    """Return what a metric counts in a text: its words, or its characters with or without the white space."""
    if counted != "character":
        return text.split()
    return list(text) if spaces else list("".join(text.split()))


def mark_answer(reference: Sequence[str], answer: Sequence[str], joint: str) -> tuple[Mark, ...]:
    """Return the answer in marked parts by the least number of edits, which is what the error rate counts.

    Of several such alignments it is one with the most equal tokens. Neighbouring tokens of one kind are one part,
    joined by `joint`; replaced words are a part each.

    >>> [(mark.kind, mark.text) for mark in mark_answer(["a", "b", "c"], ["b", "c", "d"], " ")]
    [('missing', 'a'), ('same', 'b c'), ('added', 'd')]
    """
    return tuple(_joined(_aligned(reference, answer), joint))


def _joined(pairs: Iterator[tuple[str, str]], joint: str) -> Iterator[Mark]:
    """Join pairs of what was said and answered (one of them empty if there is none) to parts of one kind."""
    kind: MarkKind = "same"
    heard: list[str] = []
    said: list[str] = []

    def part() -> Iterator[Mark]:
        if said or heard:
            yield Mark(
                kind, joint.join(said if kind == "missing" else heard), joint.join(said) if kind == "replaced" else ""
            )

    for one, other in pairs:
        now: MarkKind = "same" if one == other else "missing" if not other else "added" if not one else "replaced"
        if now != kind or (kind == "replaced" and joint):
            yield from part()
            kind, heard, said = now, [], []
        heard.append(other)
        said.append(one)
    yield from part()


def _aligned(reference: Sequence[str], answer: Sequence[str]) -> Iterator[tuple[str, str]]:
    shorter, begin, end = min(len(reference), len(answer)), 0, 0
    while begin < shorter and reference[begin] == answer[begin]:
        begin += 1
    while end < shorter - begin and reference[-1 - end] == answer[-1 - end]:
        end += 1
    yield from ((token, token) for token in reference[:begin])
    said, heard = reference[begin : len(reference) - end], answer[begin : len(answer) - end]
    yield from _most_equal(said, heard) if len(said) * len(heard) <= _CELLS else _any_alignment(said, heard)
    yield from ((token, token) for token in reference[len(reference) - end :])


def _any_alignment(said: Sequence[str], heard: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return an alignment with the fewest edits."""
    for edit in Levenshtein.opcodes(said, heard):
        one, other = said[edit.src_start : edit.src_end], heard[edit.dest_start : edit.dest_end]
        length = max(len(one), len(other))
        yield from ((one[i] if one else "", other[i] if other else "") for i in range(length))


def _most_equal(said: Sequence[str], heard: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return an alignment with the fewest edits, and of those one with the most equal tokens."""
    # an edit costs more than all equal tokens together are worth
    edit, equal = len(said) + len(heard) + 1, -1
    # cost[i][j] is that of the tokens from i and j on, so that the path is read from the beginning
    cost = [[0] * (len(heard) + 1) for _ in range(len(said) + 1)]
    for i in range(len(said), -1, -1):
        row, below = cost[i], cost[i + 1] if i < len(said) else []
        for j in range(len(heard), -1, -1):
            ways = [edit + below[j]] if below else []
            if j < len(heard):
                ways.append(edit + row[j + 1])
                if below:
                    ways.append((equal if said[i] == heard[j] else edit) + below[j + 1])
            row[j] = min(ways, default=0)
    i = j = 0
    while i < len(said) or j < len(heard):
        both = i < len(said) and j < len(heard)
        if both and cost[i][j] == (equal if said[i] == heard[j] else edit) + cost[i + 1][j + 1]:
            yield said[i], heard[j]
            i, j = i + 1, j + 1
        elif i < len(said) and cost[i][j] == edit + cost[i + 1][j]:
            yield said[i], ""
            i += 1
        else:
            yield "", heard[j]
            j += 1

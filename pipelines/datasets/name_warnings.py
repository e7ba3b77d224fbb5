"""Names that look like another name, or like a missing value: one person or class may have two names in the data."""

from collections.abc import Mapping

from pipelines.number_text import count
from pipelines.registry.names import placeholders, similar_names

NAME_KINDS = ("speaker", "label", "condition")
_SHOWN = 5

Names = Mapping[str, Mapping[str, int]]
"""Clips by name, for each kind of name and each key of groups."""


def count_doubtful(names: Names) -> dict[str, int]:
    """Return how many names of each kind a person should look at; a kind without any is left out."""
    found = {kind: {name for group in similar_names(names[kind]) for name in group} for kind in names}
    return {kind: number for kind in names if (number := len(found[kind] | placeholders(names[kind]).keys()))}


def name_warnings(names: Names) -> list[str]:
    """Return a sentence for each group of names that differ only by case, width or blanks, and for each placeholder."""
    warnings = []
    for kind in names:
        groups = similar_names(names[kind])
        for group in groups[:_SHOWN]:
            shown = ", ".join(f"{name!r} ({count(number, 'clip')})" for name, number in group.items())
            warnings.append(f"these {kind}s differ only by case, width or blanks and are kept apart: {shown}")
        if len(groups) > _SHOWN:
            warnings.append(f"{len(groups) - _SHOWN} more groups of {kind}s differ only by case, width or blanks")
        warnings += [
            f"the {kind} of {count(number, 'clip')} is {name!r}; if that stands for a missing value, leave the "
            "field empty"
            for name, number in placeholders(names[kind]).items()
        ]
    return warnings

"""What a slot declares of groups, and how Great Expectations checks and shows them: one column for each key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from elp_core.groups import count_groups, group_text, group_values
from elp_core.names import normal_name
from pipelines.datasets.clip_rules import Rule

Declared = Mapping[str, Sequence[str]]
"""Values by key, as `data.groups` has them; a key without values takes any."""
GroupCounts = Mapping[str, Mapping[str, int]]
"""Clips by value, for each key."""
_PREFIX = "group "
"""Of the name of a key's column; no column of a shard begins so."""


def undeclared_groups(texts: Sequence[str], declared: Declared) -> list[str | None]:
    """Return of each clip's groups those that the slot does not declare, or None; without a declaration, all fit.

    >>> undeclared_groups(["dialect=kansai; gender=f", "dialect=kansia"], {"dialect": ["kansai"], "gender": []})
    [None, 'dialect=kansia']
    """
    known = {key: {normal_name(value) for value in values} for key, values in _by_key(declared).items()}
    found = {text: _foreign(text, known) if known else None for text in set(texts)}
    return [found[text] for text in texts]


def coverage_rules(texts: Sequence[str], declared: Declared, stored: GroupCounts) -> tuple[Rule, ...]:
    """Return for each declared or delivered key the rule that shows its values; no clip breaks it.

    `stored` has the values of the slot's clips: values that it lacks are marked as new.
    """
    found = count_groups({text: texts.count(text) for text in set(texts)})
    new = {*new_groups(found, stored)}
    return tuple(
        Rule("", f"{_PREFIX}{key}", "counted", words=_in_words(key, found.get(key, {}), len(texts), new))
        for key in sorted({*found, *_by_key(declared)})
    )


def values_of(texts: Sequence[str], column: str) -> list[str | None]:
    """Return the values of clips in the column of a key; None for a clip without the key."""
    key = column.removeprefix(_PREFIX)
    return [group_values(text).get(key) for text in texts]


def new_groups(found: GroupCounts, stored: GroupCounts) -> list[str]:
    """Return the groups that the slot had no clip of, such as ``dialect=kansai``; none if it had no groups at all.

    >>> new_groups({"dialect": {"kansai": 3, "kansia": 1}}, {"dialect": {"kansai": 40}})
    ['dialect=kansia']
    """
    if not stored:
        return []
    return [f"{key}={value}" for key, values in found.items() for value in values if value not in stored.get(key, {})]


def _by_key(declared: Declared) -> dict[str, Sequence[str]]:
    """Return a declaration with the keys as clips have them."""
    return {next(iter(group_values(group_text({key: "x"})))): values for key, values in declared.items()}


def _foreign(text: str, known: Mapping[str, set[str]]) -> str | None:
    pairs = group_values(text).items()
    unknown = ((key, value) for key, value in pairs if value not in known.get(key, {""}) and known.get(key) != set())
    return "; ".join(f"{key}={value}" for key, value in unknown) or None


def _in_words(key: str, values: Mapping[str, int], clips: int, new: set[str]) -> str:
    """Return how many clips have which value, the most frequent first."""
    order = sorted(values, key=lambda value: (-values[value], value))
    parts = [f"{value} {values[value]:,}{' (new in this slot)' if f'{key}={value}' in new else ''}" for value in order]
    return f"clips with a {key}: {', '.join(parts) or 'none'}; without {clips - sum(values.values()):,}"

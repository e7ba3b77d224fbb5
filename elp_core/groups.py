"""The groups of a clip's speaker and device, such as dialect, gender or age band: free keys with one value each.

They are kept as one text in one normal form, ``device=headset; dialect=kansai``: keys in lower case and sorted, values
in the normal form of names. Two spellings of one form are one group. Law: ``group_text(group_values(text)) == text``
for every text of this form.
"""

import functools
import re
from collections.abc import Mapping

from elp_core.errors import CorpusError
from elp_core.names import is_blank, normal_name

GROUP = "group"
"""The name of their column."""
MOST_KEYS = 8
MOST_LETTERS = 60
"""Of a value; a key has half as many at most. A longer text is a remark about a person and no group."""
_SHOWN = 40
_BLANKS = re.compile(r"[\s-]+")
_RESERVED = frozenset(";=")


@functools.lru_cache(maxsize=2**12)
def normal_group(text: str) -> str:
    r"""Return groups that are written as ``key=value; key=value`` in their normal form; a key without a value is none.

    >>> normal_group("Gender=f;  dialect = kansai; age=")
    'dialect=kansai; gender=f'

    Raises:
        CorpusError: The text is not understood; one sentence says why.
    """
    found: dict[str, str] = {}
    for part in text.split(";"):
        key, equals, value = part.partition("=")
        if not normal_name(part):
            continue
        if not equals:
            raise CorpusError(f"group has {_shown(part.strip())}, expected key=value, such as dialect=kansai; gender=f")
        _put(found, key, value)
    return _joined(found)


def group_text(values: Mapping[str, str]) -> str:
    """Return the values of groups by key as one text in its normal form; an empty value is none.

    >>> group_text({"gender": "f", "First Language": "日本語", "age": ""})
    'first_language=日本語; gender=f'

    Raises:
        CorpusError: A key or a value cannot be one; one sentence says why.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        _put(found, key, value)
    return _joined(found)


@functools.lru_cache(maxsize=2**12)
def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    parts = (part.partition("=") for part in text.split("; ") if part)
    return tuple((key, value) for key, _, value in parts)


def group_values(text: str) -> dict[str, str]:
    """Return the value of each key of a text in its normal form.

    >>> group_values("dialect=kansai; gender=f")
    {'dialect': 'kansai', 'gender': 'f'}
    """
    return dict(_pairs(text))


def count_groups(texts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return how many clips have which value of each key, from the clips by text; both are sorted.

    >>> count_groups({"dialect=kansai; gender=f": 2, "gender=f": 1, "": 4})
    {'dialect': {'kansai': 2}, 'gender': {'f': 3}}
    """
    found: dict[str, dict[str, int]] = {}
    for text, number in sorted(texts.items()):
        for key, value in _pairs(text):
            counts = found.setdefault(key, {})
            counts[value] = counts.get(value, 0) + number
    return {key: dict(sorted(found[key].items())) for key in sorted(found)}


def _put(found: dict[str, str], key: str, value: str) -> None:
    name, worth = _BLANKS.sub("_", normal_name(key)).lower(), normal_name(value)
    if not name or not all(letter.isalnum() or letter == "_" for letter in name):
        raise CorpusError(f"group has the key {_shown(key)}, expected letters, digits and underscores")
    if len(name) > MOST_LETTERS // 2:
        raise CorpusError(f"group has the key {_shown(name)} of {len(name)} characters, at most {MOST_LETTERS // 2}")
    if len(worth) > MOST_LETTERS:
        raise CorpusError(
            f"group has {name}={_shown(worth)} of {len(worth)} characters, at most {MOST_LETTERS}: name a group, and "
            "not one person"
        )
    if not _RESERVED.isdisjoint(worth) or any(is_blank(letter) and letter not in (" ", "\u3000") for letter in worth):
        raise CorpusError(f"group has {name}={_shown(worth)}, expected no semicolon, equals sign or control character")
    if found.setdefault(name, worth) != worth:
        raise CorpusError(f"group has {name} twice, as {_shown(found[name])} and {_shown(worth)}; keep one")


def _joined(found: Mapping[str, str]) -> str:
    named = {key: value for key, value in sorted(found.items()) if value}
    if len(named) > MOST_KEYS:
        raise CorpusError(f"group has {len(named)} keys, at most {MOST_KEYS}: {', '.join(named)}")
    return "; ".join(f"{key}={value}" for key, value in named.items())


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"

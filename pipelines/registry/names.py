"""Names of speakers, labels and conditions: their normal form, and names that look alike."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping

from elp_core.names import is_blank
from elp_core.names import normal_name as normal_name

_PLACEHOLDERS = frozenset({"nan", "<na>", "nat", "null", "n/a", "#n/a"})
"""What programs write as text for a value that is missing, case folded."""


_SIDE = re.compile(r"-(?:left|right|channel-[0-9]+)$")
"""What intake adds to a speaker's name for one channel of a file (`--channel each`)."""


def loose_name(name: str) -> str:
    r"""Return what is left of a name without case, width and blanks: equal for names that are easily confused.

    >>> loose_name("ＡＮＮＡ  Ｍ") == loose_name("Anna\u00a0m")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in folded if not is_blank(letter))


def similar_names(counts: Mapping[str, int]) -> list[dict[str, int]]:
    """Return groups of two names and more that differ only by case, width or blanks, each with its count.

    The most frequent name of a group comes first.
    """
    groups = defaultdict[str, dict[str, int]](dict)
    for name, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
        if name:
            groups[loose_name(name)][name] = count
    return [group for _, group in sorted(groups.items()) if len(group) > 1]


def similar_to(name: str, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the names among `counts` that differ from `name`, and only by case, width, blanks or a channel's ending.

    >>> similar_to("anna", {"Anna": 1, "anna-left": 2, "anna-lee": 3})
    {'Anna': 1, 'anna-left': 2}
    """
    whole, wanted = loose_name(name), {loose_name(name), loose_name(_without_side(name))}
    return {
        other: count
        for other, count in counts.items()
        if other and other != name and (loose_name(other) in wanted or loose_name(_without_side(other)) == whole)
    }


def _without_side(name: str) -> str:
    return _SIDE.sub("", name)


def placeholders(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the names that programs write for a missing value, such as ``nan``. A person may be called so."""
    return {name: count for name, count in counts.items() if name.casefold() in _PLACEHOLDERS}

"""The values of a manifest's row by their types: what is missing, a number, a text, and what may not be ignored."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from elp_core.errors import CorpusError
from elp_core.groups import GROUP, group_text, normal_group
from elp_core.types import Seconds
from pipelines.datasets.importers.manifest_text import undecodable

Values = Mapping[str, Any]
_EXACT = 2**53
"""Beyond it, a number with a fraction part stands for several integers."""
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?([eE][+-]?[0-9]+)?|[+-]?[.,][0-9]+")
LANGUAGE_KEYS = ("lang", "language", "locale", "source_lang")
"""Names of a transcript's language."""
_SIDES = {"left": 0, "l": 0, "right": 1, "r": 1}
_TIMES = (
    *("start", "end", "begin", "stop", "start_time", "end_time", "begin_time", "stop_time", "offset_end"),
    *("start_s", "end_s", "start_sec", "end_sec", "start_seconds", "end_seconds", "start_ms", "end_ms"),
)
_TRANSLATIONS = ("ast", "s2t_translation", "translation", "st")


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: null, NaN, or a text of blanks."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_value(row: Values, keys: Sequence[str], faults: list[str]) -> str:
    """Return the first value of `keys` that is not missing, as text; a value of another type is a fault.

    A whole number is written without a fraction: 7.0 is ``7``. The text ``nan`` stays a text: JSON has the token NaN
    for a missing value, and a table an empty field.
    """
    key = next((key for key in keys if not is_missing(row.get(key))), None)
    if key is None:
        return ""
    value = row[key]
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        if not value.is_integer():
            return repr(value)
        if abs(value) < _EXACT:
            return str(int(value))
    faults.append(f"{key} is {shown(value)}, expected a text")
    return ""


def seconds_value(row: Values, key: str, faults: list[str]) -> Seconds | None:
    """Return a number of seconds, 0 or more, or None if it is missing; anything else is a fault."""
    value = row.get(key)
    if is_missing(value):
        return None
    number = math.nan
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        # tables of many countries have a decimal comma
        number = float(value.strip().replace(",", "."))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value if abs(value) < _EXACT else math.inf
    if not (math.isfinite(number) and number >= 0):
        faults.append(f"{key} is {shown(value)}, expected a number of seconds, 0 or more")
        return None
    return float(number)


def channel_value(row: Values, faults: list[str]) -> int | None:
    """Return the channel that a row names (`channel`, or `channel_selector` as in NeMo), from 0; None for none."""
    found = {}
    for key in ("channel", "channel_selector"):
        value = row.get(key)
        if is_missing(value):
            continue
        only = value[0] if isinstance(value, list) and len(value) == 1 else value
        number = _SIDES.get(only.strip().lower(), only.strip()) if isinstance(only, str) else only
        if isinstance(number, str) and number.isascii() and number.isdigit():
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 64 or number % 1:
            faults.append(
                f"{key} is {shown(value)}, expected the number of one channel, from 0, or left or right; to mix the "
                "channels, remove it and add --channel mix"
            )
            continue
        found[key] = int(number)
    if len(set(found.values())) > 1:
        faults.append(f"channel is {found['channel']} and channel_selector is {found['channel_selector']}; keep one")
    return next(iter(found.values()), None)


def language_value(row: Values, faults: list[str]) -> str:
    """Return the language that a row names for its transcript, as it is written; a translation is a fault."""
    spoken = text_value(row, LANGUAGE_KEYS, faults)
    written = text_value(row, ("target_lang",), faults)
    if spoken and written and spoken.strip().lower() != written.strip().lower():
        faults.append(f"its transcript is in {written} and its speech in {spoken}; a translation is no transcript")
    for key in ("taskname", "task"):
        if isinstance(row.get(key), str) and row[key].strip().lower() in _TRANSLATIONS:
            faults.append(f"{key} is {row[key]}; a translation is no transcript")
    return (written or spoken).strip()


def group_value(row: Values, faults: list[str]) -> str:
    """Return the groups that a row names, an object of texts or one text, in their normal form; empty for none."""
    value, before = row.get(GROUP), len(faults)
    several = isinstance(value, Mapping)
    named = _named_groups(value, faults) if isinstance(value, Mapping) else {GROUP: text_value(row, (GROUP,), faults)}
    if any(undecodable(text) for pair in named.items() for text in pair):
        faults.append("group has bytes that are not UTF-8; correct them, or name the encoding with --encoding")
    if len(faults) > before:
        return ""
    try:
        return group_text(named) if several else normal_group(named[GROUP])
    except CorpusError as error:
        faults.append(str(error))
        return ""


def _named_groups(value: Mapping[Any, Any], faults: list[str]) -> dict[str, str]:
    here: list[str] = []
    # the key of a name that occurs twice is no text
    twice = [f"group gives {name} twice" for key, name in value.items() if not isinstance(key, str)]
    named = {key: text_value(value, (key,), here) for key in value if isinstance(key, str)}
    faults += [*twice, *(f"group: {fault}" for fault in here)]
    return named


def refuse_times(row: Values, faults: list[str]) -> None:
    """Note every key that names a part of the file in another way than `offset` and `duration`."""
    for key in _TIMES:
        if not is_missing(row.get(key)):
            faults.append(
                f"{key} is not read; name a part of a file with offset and duration in seconds, or remove {key} if the "
                "file is the clip"
            )


def shown(value: Any) -> str:
    """Return a value of JSON as a person reads it in a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"

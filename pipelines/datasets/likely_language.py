"""The language in which transcripts are probably written, by their letters."""

import re
from collections.abc import Iterable

from elp_core.errors import ConfigError
from elp_core.languages import codes
from elp_core.languages import language as get_language

_SCRIPTS = (
    ("ja", re.compile("[ぁ-ヿ]")),
    ("ko", re.compile("[가-힣]")),
    ("zh", re.compile("[一-鿿]")),
    ("th", re.compile("[ก-๛]")),
)
"""Scripts that name a language, in the order in which they decide."""
_FREQUENT = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru")
_MOST_FOREIGN = 0.3


def likely_languages(texts: Iterable[str]) -> list[str]:
    """Return the codes of the languages that write all of most of the texts, the most likely first; English if it does.

    >>> likely_languages(["Stopp die Pumpe", "das Gerät für Öl"])[0], likely_languages(["stop the pump"])
    ('de', ['en'])
    """
    spoken = [text for text in texts if text.strip()]
    letters = "".join(spoken)
    for code, script in _SCRIPTS:
        if len(script.findall(letters)) > 0.1 * len(letters):
            return [code]
    shares = {code: share for code in codes() if (share := _foreign(code, spoken)) is not None}
    least = min(shares.values(), default=1.0)
    if not spoken or least > _MOST_FOREIGN:
        return []
    best = [code for code, share in shares.items() if share <= least]
    order = {code: place for place, code in enumerate(_FREQUENT)}
    return ["en"] if "en" in best else sorted(best, key=lambda code: (order.get(code, len(order)), code))


def _foreign(code: str, texts: list[str]) -> float | None:
    """Return the share of texts with a character that a language does not write; None if any letter is allowed."""
    found = get_language(code)
    if not found.letters or not texts:
        return None
    try:
        return sum(bool(found.foreign(found.normalise(text), "keep")) for text in texts) / len(texts)
    except ConfigError:
        # its packages are not installed
        return None

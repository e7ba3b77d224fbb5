"""The languages by code."""

from elp_core.errors import ConfigError
from elp_core.languages.ja import JAPANESE
from elp_core.languages.language import Language
from elp_core.languages.table import ROWS, UNDETERMINED

_BY_CODE = {found.code: found for found in (*ROWS, JAPANESE, UNDETERMINED)}


def codes() -> list[str]:
    """Return the codes of the languages that have rules of their own, sorted."""
    return sorted(_BY_CODE.keys() - {UNDETERMINED.code})


def language(code: str) -> Language:
    """Return the language of a code; ``und`` is any language whose words are separated by blanks.

    Raises:
        ConfigError: No language has this code; the message lists the codes.
    """
    if code not in _BY_CODE:
        known = f"expected one of {', '.join(codes())}; declare {{letters: auto}} for another one"
        raise ConfigError("language", [f"{code!r} is no language, {known}"])
    return _BY_CODE[code]

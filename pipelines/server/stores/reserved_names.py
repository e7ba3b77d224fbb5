"""The names that are reserved for the server: slot models, two aliases, and the tags that claim a decision."""

from __future__ import annotations

import unicodedata

from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, Tags

PREFIX = "elp."
ALIASES = (CHAMPION, CHALLENGER)

DESCRIPTIVE = frozenset(
    {
        *(Tags.METRIC, Tags.VALUE, Tags.KEY, Tags.BUNDLE, Tags.BACKBONE, Tags.FINGERPRINT, Tags.DATASET),
        *(Tags.DVC_HASH, Tags.REVISION, Tags.CODE, Tags.DIRTY, Tags.SEED, Tags.FLOW_RUN),
    }
)
"""Tags under ``elp.`` that a client may give a version when it creates it, and cannot change afterwards."""

MODEL_TAGS = frozenset({"elp.site", "elp.task"})
"""The same for a registered model."""

_LOOKALIKES = {"e": "3", "l": "1i|", "o": "0", "i": "1l|", ".": "·。"}
"""ASCII and punctuation that looks like another character; letters after folding."""
_INVISIBLE = ("Cf", "Cc", "Mn", "Me", "Zs", "Zl", "Zp")
"""Unicode categories of accents, spaces and characters without a glyph."""


def _folded(name: str) -> str:
    """Return `name` without differences of compatibility form, case, accents, spaces and invisible characters.

    Letters of other scripts that look alike (a Cyrillic с) are kept; `_reads_like` handles them.
    """
    # NFKC first: some characters have a case only after it; NFKD then splits accents from their letters
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in plain if unicodedata.category(letter) not in _INVISIBLE)


def _reads_like(name: str, word: str) -> bool:
    """Return whether a reader could take a name for `word`; a letter of another script may look like any letter."""
    return len(name) == len(word) and all(
        letter == meant or letter in _LOOKALIKES.get(meant, "") or (meant.isalpha() and not letter.isascii())
        for letter, meant in zip(name, word, strict=True)
    )


def claims_slot(name: str) -> bool:
    """Return whether a model's name is in the slots' name space, exactly or for a reader."""
    return _reads_like(_folded(name)[: len(PREFIX)], PREFIX)


def own_tag(key: str) -> bool:
    """Return whether a tag's key is in the server's name space, exactly or for a reader."""
    return claims_slot(key)


def own_alias(alias: str) -> bool:
    """Return whether an alias is one of the server's two, exactly or for a reader."""
    return any(_reads_like(_folded(alias), own) for own in ALIASES)


def mlflow_tag(key: str) -> bool:
    """Return whether a tag's key is one of MLflow's own, which can hide a model or turn it into a prompt."""
    return _folded(key).startswith("mlflow.")

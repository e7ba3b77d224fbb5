"""Names that are the server's own: slot models, the two aliases, the tags that claim a decision."""

from __future__ import annotations

import unicodedata

from pipelines.registry.tags import CHALLENGER, CHAMPION, Tags

PREFIX = "elp."
ALIASES = (CHAMPION, CHALLENGER)

DESCRIPTIVE = frozenset(
    {
        Tags.METRIC,
        Tags.VALUE,
        Tags.KEY,
        Tags.BUNDLE,
        Tags.BACKBONE,
        Tags.FINGERPRINT,
        Tags.DATASET,
        Tags.DVC_HASH,
        Tags.REVISION,
        Tags.CODE,
        Tags.DIRTY,
        Tags.SEED,
        Tags.FLOW_RUN,
    }
)
"""Tags under ``elp.`` that a client may give a version when it creates it, and never again."""

MODEL_TAGS = frozenset({"elp.site", "elp.task"})
"""The same for a registered model."""

_LOOKS = {"e": "3", "l": "1i|", "o": "0", "i": "1l|", ".": "·。"}
"""Characters that are taken for another at a glance, letters after folding."""


def folded(name: str) -> str:
    """`name` as a reader may take it: compatibility forms, case, accents, spaces and invisible characters gone.

    Letters of other scripts that look alike (a Cyrillic с) stay what they are; see `_reads`.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    hidden = ("Cf", "Cc", "Mn", "Me", "Zs", "Zl", "Zp")
    return "".join(letter for letter in plain if unicodedata.category(letter) not in hidden)


def _reads(name: str, word: str) -> bool:
    """Whether a name reads like `word` or could: a letter of another script may look like any, a digit like a few."""
    return len(name) == len(word) and all(
        letter == meant or letter in _LOOKS.get(meant, "") or (meant.isalpha() and not letter.isascii())
        for letter, meant in zip(name, word, strict=True)
    )


def foreign(name: str) -> bool:
    """Whether a name holds anything else than ASCII."""
    return not name.isascii()


def claims_slot(name: str) -> bool:
    """Whether a model's name is in the slots' own name space, exactly or to the eye."""
    return _reads(folded(name)[: len(PREFIX)], PREFIX)


def own_tag(key: str) -> bool:
    """Whether a tag's key is in the server's name space, exactly or to the eye."""
    return _reads(folded(key)[: len(PREFIX)], PREFIX)


def own_alias(alias: str) -> bool:
    """Whether an alias is one of the server's two, exactly or to the eye."""
    return any(_reads(folded(alias), own) for own in ALIASES)


def mlflow_tag(key: str) -> bool:
    """Whether a tag's key is one of MLflow's own, which hide a model from lists or turn it into a prompt."""
    return folded(key).startswith("mlflow.")

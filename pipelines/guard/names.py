"""Names that are the server's own: slot models, the two aliases, the tags that claim a decision."""

from __future__ import annotations

import unicodedata

from pipelines.settings import Slot
from pipelines.tags import CHALLENGER, CHAMPION, Tags

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


def folded(name: str) -> str:
    """`name` as a reader may take it: compatibility forms, case, accents, spaces and invisible characters gone.

    Letters of other scripts that look alike (a Cyrillic с) stay what they are: `foreign` tells them.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    hidden = ("Cf", "Cc", "Mn", "Me", "Zs", "Zl", "Zp")
    return "".join(letter for letter in plain if unicodedata.category(letter) not in hidden)


def foreign(name: str) -> bool:
    """Whether a name holds anything else than ASCII."""
    return not name.isascii()


def claims_slot(name: str) -> bool:
    """Whether a model's name is in the slots' own name space, exactly or to the eye."""
    return folded(name).startswith(PREFIX)


def slot_of(name: str) -> Slot | None:
    """The slot of a registered model's exact name, or None."""
    return Slot.of_model(name)


def own_tag(key: str) -> bool:
    """Whether a tag's key is in the server's name space, exactly or to the eye."""
    return folded(key).startswith(PREFIX)


def own_alias(alias: str) -> bool:
    """Whether an alias is one of the server's two, exactly or to the eye."""
    return folded(alias) in ALIASES

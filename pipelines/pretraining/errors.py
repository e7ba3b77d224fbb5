"""The error of the pre-training recipe."""

from __future__ import annotations

from elp_core.errors import OpsError


class RecipeError(OpsError):
    """The recipe cannot go on: a parameter, a source or an earlier stage's output is wrong or missing."""

"""The question at the door: has the caller the right?"""

from __future__ import annotations

from pipelines.guard.refusal import Refusal
from pipelines.guard.roles import may, refusal
from pipelines.guard.who import current


def demand(action: str, *, what: str, model: str, version: int | None = None) -> None:
    """Refuse a caller who may not do this; without a login everyone may.

    Args:
        action: Of `pipelines.guard.roles`.
        what: What is tried, in a few words.
        model: Registered model concerned.
        version: Version concerned.

    Raises:
        Refusal: with the command that would help.
    """
    actor = current()
    if not may(actor, action):
        raise Refusal(refusal(actor, action), what=what, model=model, version=version)

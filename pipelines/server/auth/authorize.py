"""The question at the door: has the caller the right?"""

from __future__ import annotations

from pipelines.server.auth.principal import current
from pipelines.server.auth.roles import may, refusal
from pipelines.server.refusal import Refusal


def authorize(action: str, *, what: str, model: str, version: int | None = None) -> None:
    """Refuse a caller who may not do this; without a login everyone may.

    Args:
        action: Of `pipelines.server.auth.roles`.
        what: What is tried, in a few words.
        model: Registered model concerned.
        version: Version concerned.

    Raises:
        Refusal: with the command that would help.
    """
    actor = current()
    if not may(actor, action):
        raise Refusal(refusal(actor, action), what=what, model=model, version=version)

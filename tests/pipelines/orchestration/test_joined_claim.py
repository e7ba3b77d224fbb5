"""A claim of a run whose grant got lost on the way; claims at a real server are in `test_joined_runs`."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.local.interrupted_runs import leading_text
from pipelines.orchestration import joined_runs

MINE = {"id": "leader", "state": {"id": "state"}, "labels": {"prefect.worker.name": "w"}}
OTHER = {"id": "other", "state": {"id": "state"}}


@pytest.mark.parametrize(
    ("leader", "type_", "claimed"), [(MINE, "PENDING", True), (OTHER, "PENDING", False), (MINE, "RUNNING", False)]
)
def test_a_claim_that_was_granted_unheard_is_found(
    leader: dict[str, Any], type_: str, claimed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(url: str, body: Any = None, method: str | None = None, repeatable: bool = False) -> Any:
        asked.append((url.rpartition("/")[2], method))
        if url.endswith("/set_state"):
            return {"status": "ABORT", "state": None}
        return {"state": {"type": type_, "message": leading_text(leader)}}

    monkeypatch.setattr(joined_runs, "patient_request", answer)
    assert joined_runs._claim("http://prefect/api", {"id": "run"}, MINE) is claimed
    marks = [("run", "PATCH"), ("labels", "PATCH")]
    assert asked == [("set_state", None), ("run", None), *(marks if claimed else [])]

"""The audit says of a champion that it serves by an override, for as long as it does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pipelines.audit.adapter_records import Dossier
from pipelines.audit.learned import ChampionPeriod
from pipelines.registry.ledger.entry import Head, Principal
from pipelines.registry.slot import Slot
from tests.support.proof import BUNDLE, entry

SINCE = "2026-01-01T00:00:00.000000+00:00"
OVERRIDDEN = {
    "event": "overridden",
    "before": 1,
    "after": 2,
    "principal": Principal("berta", True, ""),
    "reason": "the line stands still",
    "detail": {"asked by": "anna"},
}
ENDED = {"event": "override expired", "before": 2, "after": 1}
PROMOTED = {"event": "promoted", "before": None, "after": 2}


def _dossier(*told: dict[str, Any], until: str | None = None) -> Dossier:
    entries = tuple(entry(Head(number), **values) for number, values in enumerate(told))
    named = {"since": SINCE, "until": until}
    reign = ChampionPeriod(**{f.name: named.get(f.name, "") for f in dataclasses.fields(ChampionPeriod)})
    return Dossier(Slot("plant-a", "asr"), 2, BUNDLE, SINCE, "", None, None, (), entries, (reign,))


def test_who_asked_and_who_approved_is_told() -> None:
    told = _dossier(OVERRIDDEN).override
    assert told.endswith("asked by anna, approved by berta: the line stands still")


@pytest.mark.parametrize(
    "dossier",
    [_dossier(PROMOTED), _dossier(OVERRIDDEN, ENDED, until=SINCE), _dossier(OVERRIDDEN, ENDED, PROMOTED)],
    ids=["promoted", "over", "promoted since"],
)
def test_of_any_other_nothing_is_told(dossier: Dossier) -> None:
    assert dossier.override == ""

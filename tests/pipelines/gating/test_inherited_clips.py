"""The gate asks about every adapter that gave a challenger tensors, also if it labelled clips, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from elp_core.types import Clip
from pipelines.gating import measure
from pipelines.registry.lineage import LearnedFrom, Lineage, ids_digest
from pipelines.registry.registered_adapter import RegisteredAdapter

GOLDEN = Clip("a" * 64, b"", 1.0, "train", speaker="ann")
OTHER = Clip("b" * 64, b"", 1.0, "train", speaker="ben")
SAME_NAME = Clip("c" * 64, b"", 1.0, "train", speaker="ann")


def _adapter(version: int, clip: Clip, *learned: LearnedFrom) -> RegisteredAdapter:
    tag, digest = f"data/a/asr/v{version}", ids_digest([clip.id])
    return RegisteredAdapter("a/asr", version, f"b{version}", "", "", "s", "", "", tag, "", digest, learned=learned)


def _from(version: int, role: str) -> LearnedFrom:
    return LearnedFrom(f"b{version}", "a/asr", version, role)


@pytest.mark.parametrize(
    ("learned", "fault"),
    [
        ([_from(4, "init"), _from(3, "teacher")], "it learned from a/asr v3, which was trained on 1 of the golden"),
        ([_from(3, "teacher")], ""),
    ],
    ids=["teacher and start", "teacher alone"],
)
def test_a_teacher_that_is_also_behind_the_tensors_is_asked(
    monkeypatch: pytest.MonkeyPatch, learned: list[LearnedFrom], fault: str
) -> None:
    v3, v4 = _adapter(3, GOLDEN), _adapter(4, OTHER, _from(3, "init"))
    trained = {v3.dataset: [GOLDEN], v4.dataset: [OTHER]}
    monkeypatch.setattr(measure, "registered_records", lambda _: [v3, v4])
    monkeypatch.setattr(measure, "load_split", lambda _, tag, *__: trained[tag])
    lineage = Lineage(slot="a/asr", learned=tuple(learned))
    found, named = measure._inherited("", lineage, [GOLDEN], Path(), "")
    assert found.startswith(fault)
    assert (bool(found), named) == (bool(fault), "")


def test_golden_speakers_behind_the_tensors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    v3, v4 = _adapter(3, SAME_NAME), _adapter(4, OTHER, _from(3, "init"))
    trained = {v3.dataset: [SAME_NAME], v4.dataset: [OTHER]}
    monkeypatch.setattr(measure, "registered_records", lambda _: [v3, v4])
    monkeypatch.setattr(measure, "load_split", lambda _, tag, *__: trained[tag])
    found, named = measure._inherited("", Lineage(slot="a/asr", learned=(_from(4, "init"),)), [GOLDEN], Path(), "")
    assert (found, named[-12:]) == ("", "a/asr v3 (1)")

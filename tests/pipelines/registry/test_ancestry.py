"""The adapters behind an adapter: every one is found, with its way, and records that loop end."""

from __future__ import annotations

from pipelines.registry.ancestry import TENSOR_ROLES, ancestors, by_bundle, generation
from pipelines.registry.lineage import LearnedFrom, Lineage, StartCandidate, TrainingStart
from pipelines.registry.registered_adapter import RegisteredAdapter


def _adapter(slot: str, version: int, *learned: LearnedFrom) -> RegisteredAdapter:
    return RegisteredAdapter(slot, version, f"{slot}{version}", "", "", "s", learned=learned)


def _from(slot: str, version: int, role: str = "init") -> LearnedFrom:
    return LearnedFrom(f"{slot}{version}", slot, version, role)


A1, A2 = _adapter("a/asr", 1), _adapter("a/asr", 2, _from("a/asr", 1))
B1 = _adapter("b/asr", 1, _from("a/asr", 2), LearnedFrom("lost", role="teacher"))
B2 = _adapter("b/asr", 2, _from("b/asr", 1), LearnedFrom("a/asr1", role="units"))
KNOWN = by_bundle([A1, A2, B1, B2])


def test_every_ancestor_is_found_once_by_its_shortest_way() -> None:
    found = {one.learned.name: one.chain("b/asr", 2) for one in ancestors(B2.learned, KNOWN)}
    assert found == {
        "b/asr v1": "v2 ← v1",
        "a/asr v1": "v2 ← a/asr v1",
        "a/asr v2": "v2 ← v1 ← a/asr v2",
        "lost": "v2 ← v1 ← lost",
    }
    assert [one.learned.bundle for one in ancestors(B2.learned, KNOWN) if one.adapter is None] == ["lost"]


def test_a_generation_counts_the_trainings_of_the_slot_alone() -> None:
    assert [generation(one.slot, one.learned, KNOWN) for one in (A1, A2, B1, B2)] == [0, 1, 0, 1]
    assert generation("a/asr", [_from("b/asr", 1)], KNOWN) == 2
    assert generation("a/asr", [_from("a/asr", 2, "teacher")], KNOWN) == 0
    # rows of a head that grew are no start: after its limit, a slot whose units grow begins again
    assert generation("a/asr", [_from("a/asr", 2, "units")], KNOWN) == 0


def test_an_adapter_that_gave_labels_and_tensors_is_found_by_its_tensors() -> None:
    base, teacher = _adapter("a/asr", 1), _adapter("a/asr", 3, _from("a/asr", 1))
    child = _adapter("a/asr", 4, _from("a/asr", 3))
    known = by_bundle([base, teacher, child])
    found = ancestors([_from("a/asr", 4), _from("a/asr", 3, "teacher")], known, TENSOR_ROLES)
    assert [one.chain("a/asr", 5) for one in found] == ["v5 ← v4", "v5 ← v4 ← v3", "v5 ← v4 ← v3 ← v1"]
    assert ancestors([_from("a/asr", 3, "teacher")], known, TENSOR_ROLES) == []


def test_records_that_name_each_other_end() -> None:
    loop = by_bundle([_adapter("a/asr", 1, _from("a/asr", 2)), _adapter("a/asr", 2, _from("a/asr", 1))])
    assert len(ancestors(loop["a/asr2"].learned, loop)) == 2
    assert generation("a/asr", loop["a/asr2"].learned, loop) == 2


def test_a_record_over_the_api_is_the_same_and_an_adapter_without_parents_names_none() -> None:
    assert RegisteredAdapter.from_json({**B2.to_json(), "later": 1}) == B2
    assert "learned" not in A1.to_json()


def test_a_lineage_lists_them_and_ignores_what_it_does_not_know() -> None:
    start = TrainingStart("nearest", "k", 1, candidates=(StartCandidate("a/asr", 2, "a/asr2", 0.5),))
    lineage = Lineage(slot="b/asr", start=start, learned=B1.learned)
    values = lineage.to_json()
    assert Lineage.from_json(values) == lineage
    values["learned"][0]["later"] = values["start"]["candidates"][0]["later"] = 1
    assert Lineage.from_json(values) == lineage
    assert not {"start", "learned"} & Lineage().to_json().keys()

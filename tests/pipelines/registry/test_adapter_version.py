from __future__ import annotations

import pytest

from pipelines.errors import RegistryError
from pipelines.registry.adapter_version import AdapterVersion, GateRecord, Tags
from pipelines.registry.description import describe_version
from pipelines.registry.policies import GatePolicy, SafetyPolicy, current_gate_names, policy_digest
from pipelines.registry.slot import Slot


def _version(aliases: tuple[str, ...] = (), **tags: str) -> AdapterVersion:
    return AdapterVersion(Slot("a", "asr"), 1, "run", "models:/m-1", "2026-01-01T00:00:00+00:00", tags, aliases)


def test_a_gate_record_reads_back_equal() -> None:
    record = GateRecord("passed", "sha256:b", "golden/a/asr/v1", champion=3, champion_bundle="sha256:c")
    assert GateRecord.from_json(record.to_json()) == record
    assert _version(**{Tags.GATE: record.to_json()}).gate_record == record
    assert _version().gate_record is None


@pytest.mark.parametrize("text", ["{", "[]", '{"verdict":"passed"}', '{"unknown":1}'])
def test_a_tag_that_is_no_gate_record_is_named(text: str) -> None:
    with pytest.raises(RegistryError, match=r"the tag elp\.gate is not a gate record"):
        GateRecord.from_json(text)


@pytest.mark.parametrize(
    ("aliases", "written", "expected"),
    [
        (("champion",), "candidate", "champion"),
        (("challenger",), "candidate", "challenger"),
        ((), "champion", "retired"),
        ((), "challenger", "candidate"),
        ((), "rejected", "rejected"),
    ],
)
def test_aliases_have_the_last_word_on_the_status(aliases: tuple[str, ...], written: str, expected: str) -> None:
    assert _version(aliases, **{Tags.STATUS: written}).status == expected


def test_the_digest_of_a_policy_is_the_one_of_release_0_1() -> None:
    # computed with release 0.1, which named the two limits of the interference check neighbours and neighbour_clips
    assert policy_digest(GatePolicy()) == "sha256:497c13b1c299ff622183919d5acfa15444e50d315f05da415243c73cf6325a5a"
    limits = SafetyPolicy(interference_slots=3, interference_clips=1, max_slice=0.3)
    assert (
        policy_digest(GatePolicy(0.2, 0.01, safety=limits))
        == "sha256:81518df9c43c58daa8480370cdfc6ae9013abf1e1e1f6d0c709daa1a481c6f5d"
    )
    digests = {policy_digest(GatePolicy(metric=metric)) for metric in ("", "wer", "cer")}
    assert len(digests) == 3, "a verdict by another metric is another verdict"


def test_older_names_of_limits_are_read_unless_the_present_name_is_given_too() -> None:
    renamed = current_gate_names({"limit": 0.1, "safety": {"neighbours": 3, "max_slice": 0.3}})
    assert renamed == {"limit": 0.1, "safety": {"interference_slots": 3, "max_slice": 0.3}}
    both = {"safety": {"neighbours": 3, "interference_slots": 4}}
    assert current_gate_names(both) == both


def test_a_description_begins_with_a_sentence_and_ends_with_the_lineage() -> None:
    text = describe_version(
        "Candidate for a/asr.", [("verdict", "passed|really")], {Tags.DATASET: "v1", Tags.DIRTY: "yes"}
    )
    assert text.startswith("Candidate for a/asr.\n\n| result | |\n|---|---|\n| verdict | passed/really |")
    assert "| dataset | `v1` |" in text
    assert "uncommitted code" in text


def test_a_description_that_begins_with_markup_is_refused() -> None:
    with pytest.raises(ValueError, match="begin with markup"):
        describe_version("# Report", [], {})

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.datasets.delivery import ClipFault, DeliveryContent, DeliveryOptions, SourceClip
from pipelines.datasets.transcripts import apply_transcript_rules, same_language, split_tags
from pipelines.registry.policies import DataPolicy, TagRule
from pipelines.registry.slot import Slot

ASR = Slot("plant", "asr")


def _content(*texts: str) -> DeliveryContent:
    clips = tuple(SourceClip("a.wav", b"", text=text) for text in texts)
    return DeliveryContent("0" * 64, "source", "nemo", DeliveryOptions(), clips, 0)


@pytest.mark.parametrize(
    ("text", "words", "tags"),
    [
        ("[laughter] yes", "yes", ["[laughter]"]),
        ("so [pause] right (background speech)", "so right", ["[pause]", "(background speech)"]),
        ("yes<unk>no", "yes no", ["<unk>"]),
        ("{breath}", "", ["{breath}"]),
        ("はい（笑）そうです", "はい そうです", ["（笑）"]),
        ("【雑音】いいえ", "いいえ", ["【雑音】"]),
        ("[[noise] of a (loud) pump] stop", "stop", ["[noise]", "(loud)", "[  of a   pump]"]),
        ("() [] yes", "yes", []),
        ("a) yes b) no :)", "a) yes b) no :)", []),
        ("《本》と「声」", "《本》と「声」", []),
        ("don't stop", "don't stop", []),
    ],
)
def test_tags_are_found_and_words_are_kept(text: str, words: str, tags: list[str]) -> None:
    kept, found = split_tags(text)
    assert " ".join(kept.split()) == words
    assert found == tags


def test_a_clip_with_a_tag_goes_to_quarantine_by_default() -> None:
    tagged = apply_transcript_rules(_content("yes", "[laughter] yes", "{breath"), ASR, DataPolicy().tags)
    assert [clip.fault.reason if clip.fault else "" for clip in tagged.clips] == ["", "tags", "tags"]
    fault = tagged.clips[1].fault
    assert fault is not None
    assert "has the tag [laughter], which is no word" in fault.detail
    assert "data: {tags: remove}" in fault.detail


def test_tags_are_removed_if_the_slot_says_so() -> None:
    tagged = apply_transcript_rules(_content("yes", "[laughter] yes", "(a) [b]"), ASR, "remove")
    assert [clip.text for clip in tagged.clips] == ["yes", "yes", ""]
    assert tagged.untagged == 2


@pytest.mark.parametrize(
    ("slot", "rule"), [(ASR, "keep"), (Slot("plant", "ser"), "quarantine"), (Slot("p", "asv"), "remove")]
)
def test_words_in_brackets_are_kept_on_request_and_for_tasks_without_transcripts(slot: Slot, rule: TagRule) -> None:
    content = _content("(yes)", "[no")
    assert apply_transcript_rules(content, slot, rule).clips == content.clips


def test_a_fault_of_the_importer_stays() -> None:
    content = _content("[a]")
    faulty = SourceClip("a.wav", b"", text="[a]", fault=ClipFault("not_utf8", "it is not"))
    tagged = apply_transcript_rules(DeliveryContent(**{**vars(content), "clips": (faulty,)}), ASR, "remove")
    assert tagged.clips == (faulty,)


def test_many_brackets_take_no_time() -> None:
    assert split_tags("(" * 100_000 + "x")[1] == []
    assert split_tags("[" + "x " * 100_000)[1] == []
    assert len(split_tags("[x" * 1000 + "]" * 1000)[1]) == 8


def test_only_a_rule_that_is_set_changes_the_key_of_a_delivery() -> None:
    assert not {"tags", "split_by"} & DataPolicy().key_values().keys()
    assert DataPolicy(tags="remove").key_values()["tags"] == "remove"


@pytest.mark.parametrize("named", ["en", "EN", "en-US", "en_GB", "eng", "English", " english "])
def test_a_language_has_many_names(named: str) -> None:
    assert same_language(named, "en")
    assert not same_language(named, "de")


def test_a_clip_of_another_language_goes_to_quarantine_and_changes_the_key() -> None:
    content = _content("ja", "yes", "")
    clips = tuple(replace(clip, language=code) for clip, code in zip(content.clips, ("de", "en-US", ""), strict=True))
    content = replace(content, clips=clips)
    judged = apply_transcript_rules(content, ASR, "quarantine", "en")
    assert [clip.fault.reason if clip.fault else "" for clip in judged.clips] == ["other_language", "", ""]
    assert judged.key != content.key
    for slot, code in ((ASR, ""), (ASR, "und"), (Slot("plant", "asv"), "en")):
        assert apply_transcript_rules(content, slot, "quarantine", code) == content

"""Speech recognition in other languages than English."""

from __future__ import annotations

import json

import pytest

from elp_core.config import to_dict
from elp_core.errors import ConfigError, CorpusError
from elp_core.languages import LanguageConfig, Units, UnitsConfig
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import EmotionRecognition, decide_by, make_task, task_from_json
from elp_core.tasks.asr import SpeechRecognition
from tests.support.clips import clip, tone

JAPANESE = RecognitionOptions(language=LanguageConfig("ja"))


def test_options_and_task_of_english_are_written_as_in_the_first_release() -> None:
    assert to_dict(RecognitionOptions()) == {"dropout": 0.1, "width": 256, "dilations": [1, 2, 4]}
    assert to_dict(RecognitionOptions(language=LanguageConfig("ja")))["language"]["code"] == "ja"
    assert SpeechRecognition().to_json() == {
        "name": "asr",
        "alphabet": " 'abcdefghijklmnopqrstuvwxyz",
        "dropout": 0.1,
        "width": 256,
        "dilations": [1, 2, 4],
    }


def test_a_japanese_task_takes_its_units_from_the_clips_and_survives_json() -> None:
    task = make_task("asr", [clip(tone(0.1), "今日は"), clip(tone(0.2), "東京")], JAPANESE)
    assert isinstance(task, SpeechRecognition)
    assert (task.metric, task.units.symbols) == ("cer", ("は", "京", "今", "日", "東"))
    values = json.loads(json.dumps(task.to_json()))
    assert values["normaliser"]["name"] == "ja/1"
    assert task_from_json(values).to_json() == values


def test_a_bundle_keeps_the_normaliser_that_it_was_trained_with() -> None:
    values = make_task("asr", [clip(tone(0.1), "今日は")], JAPANESE).to_json()
    values["normaliser"]["digest"] = "sha256:" + "0" * 64
    assert task_from_json(values).to_json() == values


def test_pinned_units_are_used_in_their_order() -> None:
    pinned = Units("characters", ("東", "京"))
    task = make_task("asr", [clip(tone(0.1), "京")], RecognitionOptions(language=LanguageConfig("ja"), units=pinned))
    assert isinstance(task, SpeechRecognition)
    assert task.units == pinned
    with pytest.raises(CorpusError, match="outside the alphabet: 大"):
        make_task("asr", [clip(tone(0.1), "大")], RecognitionOptions(language=LanguageConfig("ja"), units=pinned))


@pytest.mark.parametrize(("code", "text", "strange"), [("de", "été", "é"), ("ja", "5時", "5"), ("ja", "a😀", "😀")])
def test_letters_that_the_language_does_not_write_are_named(code: str, text: str, strange: str) -> None:
    with pytest.raises(CorpusError, match=f"outside the alphabet: {strange}; expected only letters of {code}"):
        make_task("asr", [clip(tone(0.1), text)], RecognitionOptions(language=LanguageConfig(code)))


def test_cer_counts_characters_without_blanks_and_readings_are_reported() -> None:
    clips = [clip(tone(0.1), "今日は東京"), clip(tone(0.2), "ＯＫ Google")]
    task = SpeechRecognition(options=JAPANESE)
    found = task.evaluate({clips[0].id: "きょうは東京。", clips[1].id: "ok google"}, clips)
    assert (found.metric, found.value) == ("cer", pytest.approx(3 / 13))
    assert found.scores.counted == "character"
    assert found.extra["cer_reading"] == 0.0
    assert (found.extra["wer"], found.extra["characters"]) == (pytest.approx(1 / 3), 13.0)


def test_another_metric_decides_and_is_not_in_the_bundle() -> None:
    clips = [clip(tone(0.1), "нажмите два")]
    task = make_task("asr", clips, RecognitionOptions(language=LanguageConfig("ru")))
    chosen = decide_by(task, "cer")
    found = chosen.evaluate({clips[0].id: "нажмите да"}, clips)
    assert (task.metric, chosen.metric, found.metric, found.value) == ("wer", "cer", "cer", pytest.approx(1 / 11))
    assert chosen.to_json() == task.to_json()
    assert decide_by(task, None) == task
    with pytest.raises(ConfigError, match="Japanese is written without spaces: it has no wer"):
        decide_by(SpeechRecognition(options=JAPANESE), "wer")
    with pytest.raises(ConfigError, match="the task ser has one metric only"):
        decide_by(EmotionRecognition(("a", "b")), "cer")


def test_bundle_values_that_name_no_units_are_refused() -> None:
    values = make_task("asr", [clip(tone(0.1), "今日は")], JAPANESE).to_json()
    for change in ({"units": {"kind": "words"}}, {"units": {"symbols": ["a", "a"]}}, {"language": {"code": "xx"}}):
        with pytest.raises(ConfigError, match=r"kind is 'words'|distinct symbols|'xx' is no language"):
            task_from_json({**values, **change})
    with pytest.raises(ConfigError, match="dropout"):
        task_from_json({"name": "asr", "alphabet": "ab"})


def test_subwords_are_part_of_the_task() -> None:
    options = RecognitionOptions(language=LanguageConfig("de", units=UnitsConfig("bpe", 30)))
    task = make_task("asr", [clip(tone(0.1), "die straße"), clip(tone(0.2), "die große straße")], options)
    assert task_from_json(task.to_json()).to_json() == task.to_json()
    targets, counts = task.targets([clip(tone(0.1), "die straße")])
    assert len(targets) == int(counts[0]) < len("die straße")

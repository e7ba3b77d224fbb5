"""Transcripts in the language of their slot: what is stored, what stays out, and which units are pinned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elp_core.languages import LanguageConfig, NormaliserId, Units
from pipelines.datasets.dataset_version import DATASET_FILE, DatasetVersion, TranscriptLanguage
from pipelines.datasets.delivery_plan import plan_delivery
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.slot_language import pinned_units
from pipelines.datasets.slot_shards import quarantined_clips
from pipelines.datasets.subject import Subject
from pipelines.datasets.versions import golden_ref, load_split
from pipelines.errors import DataRefused, UsageError, VersioningError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import write_delivery

pytestmark = pytest.mark.integration
ASR = Slot("plant-a", "asr")
COMMANDS = ("弁を開けて", "扉を閉めて。", "ゼロ")


def speaking(workspace: Workspace, spoken: Any, **data: object) -> Workspace:
    values = {str(ASR): {"language": spoken, "data": {"max_quarantined": 0.5, **data}}}
    return replace(workspace, settings=replace(workspace.settings, slots=values))


def delivery(folder: Path, texts: tuple[str, ...] = COMMANDS, seed: int = 0, **changes: dict[str, Any]) -> Path:
    """A clip of each text for each of the four speakers; `changes` by clip, as `write_delivery` has them."""
    names = [f"{speaker}_{take}" for speaker in ("anna", "bert", "carla", "doris") for take in range(len(texts))]
    said = {name: {"text": texts[int(name[-1])], **changes.get(name, {})} for name in names}
    return write_delivery(folder, each=len(texts), seed=seed, **said)


def texts_of(version: DatasetVersion, workspace: Workspace, cache: Path) -> set[str]:
    return {clip.text for clip in load_split(str(workspace.root), version.tag, ASR, None, cache)}


def test_japanese_is_stored_in_its_normal_form_and_pins_its_characters(workspace: Workspace, tmp_path: Path) -> None:
    made = add_delivery(speaking(workspace, "ja"), ASR, delivery(tmp_path / "in"))
    assert texts_of(made, workspace, tmp_path / "cache") == {"弁を開けて", "扉を閉めて", "ゼロ"}
    assert (made.language.code, made.units["kind"]) == ("ja", "characters")
    assert made.language.normaliser == LanguageConfig("ja").resolve().normaliser_id()
    assert Units.from_json(made.units).unknown("弁を開けて扉を閉めてゼロ") == set()
    assert golden_ref(workspace, "latest", ASR).language == made.language


def test_english_records_have_none_of_the_new_keys(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))
    record = json.loads((workspace.root / ASR.folder / DATASET_FILE).read_text("utf-8"))
    assert record.keys().isdisjoint({"language", "units"})
    assert "new_units" not in record["deliveries"][0]
    assert "language" not in json.loads((workspace.root / ASR.folder / "golden.json").read_text("utf-8"))


def test_later_characters_are_appended_and_stay_after_a_drop(workspace: Workspace, tmp_path: Path) -> None:
    here = speaking(workspace, "ja")
    first = add_delivery(here, ASR, delivery(tmp_path / "in"))
    change = {"anna_0": {"text": "窓を開けて"}}
    later = add_delivery(here, ASR, delivery(tmp_path / "later", seed=1, **change))
    assert later.units["symbols"] == [*first.units["symbols"], "窓"]
    assert [one.new_units for one in later.deliveries] == [(), ("窓",)]
    dropped = drop_clips(here, ASR, Subject("anna")).dataset
    assert (dropped.units, dropped.language) == (later.units, later.language)


def test_letters_declared_for_japanese_stay_one_kind_over_deliveries(workspace: Workspace, tmp_path: Path) -> None:
    here = speaking(workspace, {"code": "ja", "units": "letters"})
    first = add_delivery(here, ASR, delivery(tmp_path / "in"))
    later = add_delivery(here, ASR, delivery(tmp_path / "later", seed=1))
    assert (first.units["kind"], later.version, later.units) == ("characters", 2, first.units)


def test_units_that_follow_the_default_ones_are_appended_to_them(workspace: Workspace, tmp_path: Path) -> None:
    assert add_delivery(workspace, ASR, write_delivery(tmp_path / "in")).units == {}
    here = speaking(workspace, {"code": "en", "letters": "auto"})
    change = {"anna_0": {"text": "open the café"}}
    later = add_delivery(here, ASR, write_delivery(tmp_path / "later", seed=1, **change))
    assert later.units["symbols"] == [*Units().symbols, "é"]
    assert later.deliveries[-1].new_units == ("é",)


def test_characters_of_evaluation_clips_are_no_units_and_no_fault(workspace: Workspace, tmp_path: Path) -> None:
    change = {"doris_0": {"text": "窓を開けて"}}
    made = add_delivery(speaking(workspace, "ja"), ASR, delivery(tmp_path / "in", **change))
    assert (made.quarantined, "窓" in made.units["symbols"]) == (0, False)


def test_rare_characters_and_foreign_ones_go_to_quarantine(workspace: Workspace, tmp_path: Path) -> None:
    change = {
        "anna_0": {"text": "鬱な弁を開けて扉を閉めてゼロ"},
        "anna_2": {"text": "弁を開けて扉を閉めてゼロ"},
        "bert_1": {"text": "3番"},
        "bert_2": {"text": "弁★"},
    }
    here = speaking(workspace, {"code": "ja", "min_count": 2})
    made = add_delivery(here, ASR, delivery(tmp_path / "in", **change))
    found = {clip.path: (clip.reason, clip.detail) for clip in quarantined_clips(here, ASR)}
    assert {path: reason for path, (reason, _) in found.items()} == {
        "audio/anna_0.wav": "rare_letter",
        "audio/bert_1.wav": "outside_alphabet",
        "audio/bert_2.wav": "outside_alphabet",
    }
    assert "鬱" not in made.units["symbols"]
    assert "language.min_count" in found["audio/anna_0.wav"][1]
    assert "★" in found["audio/bert_2.wav"][1]


@pytest.mark.parametrize(
    ("digits", "text", "stored"), [("spell", "3番の弁", "三番の弁"), ("keep", "3番の弁", "3番の弁")]
)
def test_digits_are_spelled_or_kept(workspace: Workspace, tmp_path: Path, digits: str, text: str, stored: str) -> None:
    here = speaking(workspace, {"code": "ja", "digits": digits})
    made = add_delivery(here, ASR, delivery(tmp_path / "in", anna_0={"text": text}))
    assert (stored in texts_of(made, workspace, tmp_path / "cache"), made.quarantined) == (True, 0)


def test_a_delivery_in_a_language_that_was_not_declared_is_refused_with_the_way(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(
        DataRefused, match=r"outside the alphabet of English.*slots: \{plant-a/asr: \{language: CODE\}\}"
    ):
        add_delivery(speaking(workspace, "en"), ASR, delivery(tmp_path / "in"))
    # nothing was recorded: the same delivery is taken in once the language is declared
    assert add_delivery(speaking(workspace, "ja"), ASR, delivery(tmp_path / "in")).version == 1


def test_two_languages_are_never_mixed(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in")
    made = add_delivery(workspace, ASR, source)
    for call in (add_delivery, plan_delivery):
        with pytest.raises(UsageError, match=r"v1 are English, units: letters; elp.yaml declares de, normaliser de/1"):
            call(speaking(workspace, "de"), ASR, source)
    with pytest.raises(UsageError, match="units: characters for plant-a/asr"):
        add_delivery(speaking(workspace, {"code": "en", "units": "characters"}), ASR, source)
    # another treatment of digits is the same language; its clips are new to it
    spelling = speaking(workspace, {"code": "en", "digits": "spell"})
    change = {"anna_0": {"text": "open 2 doors"}}
    later = add_delivery(spelling, ASR, write_delivery(tmp_path / "more", seed=2, **change))
    assert "open two doors" in texts_of(later, workspace, tmp_path / "cache")
    assert (later.version, later.language, later.units) == (2, made.language, {})


def test_clips_in_quarantine_for_their_digits_come_in_when_digits_are_spelled(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = delivery(tmp_path / "in", anna_0={"text": "3番の弁"})
    first = add_delivery(speaking(workspace, "ja"), ASR, source)
    second = add_delivery(speaking(workspace, {"code": "ja", "digits": "spell"}), ASR, source)
    assert (first.quarantined, second.clips) == (1, first.clips + 1)


def test_other_tasks_keep_no_language(workspace: Workspace, tmp_path: Path) -> None:
    here = replace(workspace, settings=replace(workspace.settings, language="ja"))
    made = add_delivery(here, Slot("plant-a", "asv"), write_delivery(tmp_path / "in"))
    assert (made.language.code, made.units) == ("", {})


def test_kana_without_speakers_are_a_delivery_of_japanese(workspace: Workspace, tmp_path: Path) -> None:
    said = {f"{who}_{take}": {"speaker": None} for who in ("anna", "bert", "carla", "doris") for take in range(3)}
    made = add_delivery(speaking(workspace, "ja"), ASR, delivery(tmp_path / "in", ("ゼロ", "なな", "きゅう"), **said))
    assert (made.clips, made.quarantined, made.speakers) == (12, 0, 0)
    assert "".join(made.units["symbols"]) == "".join(sorted("ゼロなきゅう"))


def test_an_upgraded_normaliser_is_not_mixed_in(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = speaking(workspace, "ja")
    add_delivery(here, ASR, delivery(tmp_path / "in"))
    upgraded = TranscriptLanguage("ja", NormaliserId("ja/1", "sha256:" + "9" * 64))
    monkeypatch.setattr("pipelines.datasets.slot_language.declared_language", lambda *_: upgraded)
    with pytest.raises(UsageError, match="install the release of the language packages that made data/plant-a/asr/v1"):
        add_delivery(here, ASR, delivery(tmp_path / "more", seed=1))


def test_subwords_are_learned_once_and_new_characters_are_appended(workspace: Workspace, tmp_path: Path) -> None:
    here = speaking(workspace, {"code": "de", "units": {"kind": "bpe", "size": 40}})
    texts = ("Tür öffnen", "Tür schließen", "Straße öffnen")
    first = add_delivery(here, ASR, delivery(tmp_path / "in", texts))
    change = {"anna_0": {"text": "Café öffnen"}}
    later = add_delivery(here, ASR, delivery(tmp_path / "more", texts, seed=1, **change))
    assert first.units["kind"] == "bpe"
    # é is no letter of German: its clip is in quarantine, and the units stay
    assert (later.units, later.quarantined) == (first.units, 1)


def test_a_drop_under_another_language_is_refused_with_the_way(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(speaking(workspace, "ja"), ASR, delivery(tmp_path / "in"))
    with pytest.raises(UsageError, match=r"set language back in elp\.yaml"):
        drop_clips(workspace, ASR, Subject("anna"))
    assert drop_clips(speaking(workspace, "ja"), ASR, Subject("anna")).clips == 3


def test_damaged_units_are_named(workspace: Workspace, tmp_path: Path) -> None:
    made = add_delivery(speaking(workspace, "ja"), ASR, delivery(tmp_path / "in"))
    for units in ({"kind": "letters", "symbols": ["a", "a"]}, {"kind": "runes", "symbols": ["a"]}, {"x": 1}):
        with pytest.raises(VersioningError, match=r"v1 has no units: .*restore it from Git"):
            pinned_units(replace(made, units=units))

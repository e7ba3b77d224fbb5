"""`elp backbone add | list | show` on generated checkpoints of the forms of MMS and mHuBERT."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.testing import save_tiny
from pipelines.cli import main
from pipelines.local import doctor
from pipelines.local.service_commands import server_environment
from pipelines.local.settings import Settings, read_settings
from pipelines.local.workspace import open_workspace
from pipelines.registry.backbone_licence import BACKBONES_VARIABLE, BackbonePolicy

FORMS = {
    "mms": ("wav2vec2", {"pre_norm": True, "adapter_attn_dim": 6}, "cc-by-nc-4.0", "CC-BY-NC-4.0"),
    "mhubert": ("hubert", {"conv_pos_batch_norm": True}, "cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0"),
}
TEXTS = ("--source", "hub copy of 2026-11-28", "--pretraining", "speech (1 h)")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elp.yaml").write_text("# ours\nbackbone: models/mms  # large\n")
    return tmp_path


def _checkpoint(place: Path, form: str, card: str = "", hub_id: str = "") -> None:
    family, overrides, licence, _ = FORMS[form]
    folder = save_tiny(place / "models" / form, family, **overrides)
    if card:
        (folder / "README.md").write_text(f"---\nlicense: {card}\ntags: [speech]\n---\n# {form}: {licence}\n")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": hub_id}))


@pytest.mark.parametrize("form", FORMS)
def test_the_card_gives_a_licence_that_takes_an_override(form: str, place: Path, capfd) -> None:
    _checkpoint(place, form, card=FORMS[form][2])
    assert main.run(["backbone", "add", f"models/{form}", *TEXTS]) == 0
    assert "by an override of two people only" in capfd.readouterr().out
    text = (place / "elp.yaml").read_text()
    assert text.startswith("# ours\nbackbone: models/mms  # large\n")
    ((fingerprint, record),) = read_settings(text).backbones.records.items()
    assert (record.id, record.licence, record.commercial) == (f"models/{form}", FORMS[form][3], "forbidden")
    workspace = open_workspace(place)
    given = server_environment(workspace)[BACKBONES_VARIABLE]
    assert BackbonePolicy.from_environment(given) == workspace.settings.backbones
    assert main.run(["backbone", "show", fingerprint[:16], "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["origin"]["pretraining"] == "speech (1 h)"
    assert main.run(["backbone", "list", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert next(one["id"] for one in listed if one["champion"]) == f"models/{form}"


@pytest.mark.parametrize(
    ("card", "hub_id", "options", "words"),
    [
        ("cc-by-nc-4.0", "", ("--licence", "MIT", *TEXTS), "MIT is not what models/mms says: its card says CC-BY-NC"),
        ("", "facebook/mms-300m", ("--licence", "MIT", *TEXTS), "it was published under CC-BY-NC-4.0"),
        ("mit", "facebook/mms-300m", TEXTS, "it was published under CC-BY-NC-4.0"),
        ("", "facebook/mms-300m", TEXTS, "as published on 2026-11-28, check: --licence CC-BY-NC-4.0"),
        ("other", "", TEXTS, "has no card with a licence; give it: --licence SPDX"),
        ("", "", ("--licence", "free for all", *TEXTS), "which is no SPDX identifier"),
        ("", "", ("--licence", "LicenseRef-Acme", *TEXTS), "--commercial allowed, forbidden or unknown"),
        ("", "", ("--licence", "CC-BY-NC-4.0", "--commercial", "allowed", *TEXTS), "expected forbidden"),
        ("mit", "", TEXTS[2:], "say where models/mms came from: --source TEXT"),
        ("mit", "", TEXTS[:2], "say what models/mms was pre-trained on"),
        ("[mit", "", TEXTS, "README.md cannot be read"),
    ],
)
def test_what_is_missing_or_contradicts_is_refused(
    card: str, hub_id: str, options: tuple[str, ...], words: str, place: Path, capfd
) -> None:
    _checkpoint(place, "mms", card, hub_id)
    before = (place / "elp.yaml").read_bytes()
    assert main.run(["backbone", "add", "models/mms", *options]) in (1, 2)
    assert words in capfd.readouterr().err
    assert (place / "elp.yaml").read_bytes() == before


def test_a_licence_that_was_granted_replaces_the_card_on_purpose(place: Path, capfd) -> None:
    _checkpoint(place, "mms", "cc-by-nc-4.0", "facebook/mms-300m")
    granted = ("--licence", "LicenseRef-Contract-7", "--commercial", "allowed", "--despite-card")
    assert main.run(["backbone", "add", "models/mms", *granted, *TEXTS, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["champion"] == ""
    # corrected to what the card says, it contradicts nothing
    assert main.run(["backbone", "add", "models/mms", *TEXTS, "--licence", "CC-BY-NC-4.0"]) == 0
    ((_, record),) = open_workspace(place).settings.backbones.records.items()
    assert record.despite == ""


def test_a_record_that_allows_more_replaces_a_stricter_one_on_purpose_only(place: Path, capfd) -> None:
    _checkpoint(place, "mms")
    add = ["backbone", "add", "models/mms", *TEXTS, "--licence"]
    assert main.run([*add, "cc-by-nc-3.0-igo", "--commercial", "allowed"]) == 2
    assert "CC-BY-NC-3.0-IGO forbids it" in capfd.readouterr().err
    assert main.run([*add, "CC-BY-NC-4.0"]) == 0
    before = (place / "elp.yaml").read_bytes()
    assert main.run([*add, "MIT"]) == 2
    assert "recorded under CC-BY-NC-4.0 (commercial use: forbidden), and MIT allows more" in capfd.readouterr().err
    assert (place / "elp.yaml").read_bytes() == before
    # the trace stays when the same is recorded again
    for options in (["--despite-card"], []):
        assert main.run([*add, "MIT", *options]) == 0
    ((_, record),) = open_workspace(place).settings.backbones.records.items()
    source = record.origin.source
    assert "recorded although it was recorded under CC-BY-NC-4.0 (commercial use: forbidden) by" in source


def test_a_record_outside_the_list_counts_as_stricter(place: Path, capfd) -> None:
    _checkpoint(place, "mms")
    with (place / "elp.yaml").open("a") as settings:
        settings.write("backbones: {allow: [MIT]}\n")
    add = ["backbone", "add", "models/mms", *TEXTS, "--licence"]
    assert main.run([*add, "GPL-3.0-only"]) == 0
    assert main.run([*add, "MIT"]) == 2
    assert "recorded under GPL-3.0-only" in capfd.readouterr().err


def test_a_relative_name_is_one_in_the_workspace_whatever_the_current_folder_is(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    _checkpoint(place, "mms")
    (place / "elp.yaml").write_text("backbone: models/mms\n")
    (place / "deep").mkdir()
    away, here = (tmp_path_factory.mktemp("elsewhere"), ["-w", str(place)]), (place / "deep", list[str]())
    for name, (folder, option) in (("models/mms", away), ("models/mms", here), ("../models/mms", here)):
        monkeypatch.chdir(folder)
        assert main.run(["backbone", "add", name, "--licence", "MIT", *TEXTS, *option]) == 0
        ((_, record),) = open_workspace(place).settings.backbones.records.items()
        assert record.id == "models/mms"
        outcome, detail, _ = doctor._backbone(open_workspace(place))
        assert (outcome, "models/mms" in detail) == ("ok", True)


def test_backbones_of_slots_are_listed_as_in_use(place: Path, capfd) -> None:
    with (place / "elp.yaml").open("a") as settings:
        settings.write("slots:\n  plant-a/asr: {backbone: org/other}\n  plant-b/asr: {backbone: elp:tiny}\n")
    assert main.run(["backbone", "list", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert [one["id"] for one in listed if one["in_use"]] == ["elp:tiny", "models/mms", "org/other"]


def test_a_backbone_without_a_record_is_listed_as_unknown_and_the_embedded_one_needs_none(place: Path, capfd) -> None:
    assert main.run(["backbone", "list"]) == 0
    assert ["models/mms", "—", "unknown", "unknown", "yes", "yes"] in [
        line.split() for line in capfd.readouterr().out.splitlines()
    ]
    assert main.run(["backbone", "show", "elp:tiny"]) == 0
    assert "Apache-2.0" in capfd.readouterr().out
    assert main.run(["backbone", "add", "elp:tiny"]) == 2
    assert main.run(["backbone", "show", "nobody/nothing"]) == 2
    assert "has no record; add one" in capfd.readouterr().err


def test_doctor_warns_of_a_backbone_without_a_record_and_of_a_forbidden_one(place: Path) -> None:
    _checkpoint(place, "mms", "cc-by-nc-4.0")
    assert doctor._backbone(open_workspace(place))[0] == "warn"
    assert "its licence is unknown" in doctor._backbone(open_workspace(place))[1]
    assert main.run(["backbone", "add", "models/mms", *TEXTS]) == 0
    outcome, detail, remedy = doctor._backbone(open_workspace(place))
    assert (outcome, "forbids commercial use" in detail, "override" in remedy) == ("warn", True, True)
    assert doctor._backbone(replace(open_workspace(place), settings=Settings()))[0] == "ok"

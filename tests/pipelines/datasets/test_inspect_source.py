"""`elp data inspect`: what a source is, and the line that takes it in; eleven forms as people have them."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from elp_core.errors import ElpError
from pipelines.cli.data_verbs import data
from pipelines.datasets.inspect_source import Inspection, inspect_source
from pipelines.datasets.likely_language import likely_languages
from pipelines.datasets.slot_needs import version_needs
from pipelines.datasets.versions import find_latest
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.usual_folders import USUAL

pytestmark = pytest.mark.integration
SPEAKERS, LINES = 6, 24


def run_line(workspace: Workspace, found: Inspection, task: str) -> Result:
    """Do what `inspect` says: write the settings, run the line of a task."""
    settings = [text.partition("#")[0].strip().replace("SITE", "plant-a") for text in found.settings]
    (workspace.root / "elp.yaml").write_text("remote: .elp/remote\n" + "".join(f"{one}\n" for one in settings), "utf-8")
    line = next(line.command for line in found.lines if f" SITE/{task} " in line.command)
    words = shlex.split(line.replace("SITE/", "plant-a/"))
    assert words[:3] == ["elp", "data", "add"]
    return CliRunner().invoke(data, [*words[2:], "-w", str(workspace.root)], catch_exceptions=False)


TASKS = {"names_with_speakers": "asv", "folder_per_speaker": "asv", "folder_per_class": "sic"}


@pytest.mark.parametrize("form", USUAL)
def test_the_line_of_each_usual_form_makes_a_slot_that_can_be_trained(
    form: str, workspace: Workspace, tmp_path: Path
) -> None:
    if form == "phone_recordings":
        pytest.importorskip("av")
    folder = tmp_path / form
    folder.mkdir()
    source, task = USUAL[form](folder), TASKS.get(form, "asr")
    # a person who has the folder and not the table inside it
    found = inspect_source(folder)
    assert found.problem == ""
    assert (found.clips, found.plan and found.plan.quarantined) == (LINES, 0)
    assert found.source == folder.name
    assert source.exists()
    added = run_line(workspace, found, task)
    assert "24 clips added" in added.stdout
    assert "not trainable yet" not in added.stdout
    made = find_latest(open_workspace(workspace.root), Slot("plant-a", task))
    assert made is not None
    assert version_needs(open_workspace(workspace.root), made) == []
    named = form not in ("table", "folder_per_class")
    assert made.speakers == (SPEAKERS if named and form != "wavs_and_texts" else made.speakers)


TRAINED = ("german_table", "folder_per_class", "names_with_speakers")


@pytest.mark.parametrize("form", TRAINED)
def test_what_inspect_says_is_trained_and_judged(form: str, workspace: Workspace, tmp_path: Path) -> None:
    from elp_core.assemble import build, evaluate
    from elp_core.backbones import Backbone
    from elp_core.config import EncoderAdapterConfig, LayerAdapterConfig, PromptConfig
    from elp_core.tasks import make_task
    from elp_core.testing import save_tiny
    from elp_core.training import train
    from pipelines.datasets.versions import load_golden, load_training_data
    from pipelines.training.spoken import task_options

    slot = Slot("plant-a", TASKS.get(form, "asr"))
    assert run_line(workspace, inspect_source(USUAL[form](tmp_path / form)), slot.task).exit_code == 0
    settings = open_workspace(workspace.root).settings.for_slot(slot)
    read = load_training_data(str(workspace.root), "latest", slot, tmp_path / "cache")
    golden = load_golden(str(workspace.root), "latest", slot, tmp_path / "cache").clips
    save_tiny(tmp_path / "backbone")
    small = replace(
        settings.adapter,
        encoder=EncoderAdapterConfig(bottleneck=4),
        layer=LayerAdapterConfig(width=8),
        prompt=PromptConfig(count=1),
    )
    task = make_task(slot.task, read.train, task_options(settings, read.dataset))
    model = build(Backbone.from_pretrained(tmp_path / "backbone"), small, task, 0)
    config = replace(settings.train, epochs=1, min_steps=2, batch_seconds=8.0, device="cpu")
    done = train(model, read.train, read.validation, config)
    assert done.best_value >= 0.0
    assert evaluate(model, golden).value >= 0.0


def inspected(*arguments: object) -> Result:
    return CliRunner().invoke(data, ["inspect", *map(str, arguments)])


def test_a_german_table_is_shown_with_its_columns_and_its_setting(tmp_path: Path) -> None:
    shown = inspected(USUAL["german_table"](tmp_path)).stdout
    assert "its columns are Datei, Wortlaut, Sprecher" in shown
    assert "slots: {SITE/asr: {language: de}}" in shown
    assert "--columns path=Datei,text=Wortlaut,speaker=Sprecher --option folder=ton" in shown


def test_the_json_has_what_the_text_has(tmp_path: Path) -> None:
    values = json.loads(inspected(USUAL["nemo_manifest"](tmp_path), "--json").stdout)
    assert (values["format"], values["clips"], len(values["speakers"])) == ("nemo", LINES, SPEAKERS)
    assert values["lines"][0]["command"].startswith("elp data add SITE/asr ")


def test_a_folder_of_classes_has_two_readings_and_a_slot_decides(workspace: Workspace, tmp_path: Path) -> None:
    source = USUAL["folder_per_class"](tmp_path / "in")
    open_to_all = inspect_source(source)
    assert [line.meaning.rpartition(" are ")[2].split(",")[0] for line in open_to_all.lines] == [
        "speakers",
        "classes",
        "classes",
    ]
    chosen = inspect_source(source, Slot("plant-a", "ser"), workspace)
    (line,) = chosen.lines
    assert line.command == f"elp data add plant-a/ser {source} --format text-folder --option label=folder"


PROBLEMS = [
    ("list.xlsx", "is a spreadsheet: save it as CSV next to its recordings"),
    ("all.zip", "it is an archive; unpack it"),
    ("one.wav", "it is one recording; give its folder"),
    ("notes.pdf", "it is no table, no manifest"),
]


@pytest.mark.parametrize(("name", "sentence"), PROBLEMS)
def test_what_is_no_delivery_gets_one_sentence_with_the_next_step(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / name).write_bytes(wav(voice(0.5, 300, 1)) if name == "one.wav" else b"PK")
    shown = inspected(tmp_path / name)
    assert isinstance(shown.exception, ElpError)
    assert sentence in str(shown.exception)
    assert "cannot be taken in as it is" in str(shown.exception)


def test_a_folder_with_a_spreadsheet_and_recordings_names_the_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "list.xlsx").write_bytes(b"PK")
    (tmp_path / "a.wav").write_bytes(wav(voice(0.5, 300, 1)))
    assert "list.xlsx is a spreadsheet" in inspect_source(tmp_path).problem


def test_an_empty_folder_and_a_missing_one(tmp_path: Path) -> None:
    assert "it has no recording of a known type (no file)" in inspect_source(tmp_path).problem
    assert "does not exist" in str(inspected(tmp_path / "none").exception)


def test_a_table_without_a_column_of_files_names_its_columns(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("Nummer,Satz\n1,stop the pump\n2,open the door\n", "utf-8")
    problem = inspect_source(tmp_path / "list.csv").problem
    assert "no column names the audio files; its columns are Nummer, Satz (probably text=Satz)" in problem


def test_recordings_without_anything_to_learn(tmp_path: Path) -> None:
    for take in range(3):
        (tmp_path / f"{take}.wav").write_bytes(wav(voice(0.5, 300, take)))
    assert "put a .txt file next to each" in inspect_source(tmp_path).problem


def test_two_different_channels_are_found_out(tmp_path: Path) -> None:
    import numpy as np

    for take in range(6):
        call = np.stack([voice(0.6, 200 + take, take), voice(0.6, 900 + take, 50 + take)], axis=1)
        (tmp_path / f"call-{take}.wav").write_bytes(wav(call))
        (tmp_path / f"call-{take}.txt").write_text("stop the pump", "utf-8")
    found = inspect_source(tmp_path)
    assert found.lines[0].command.endswith("--channel each")
    assert found.plan is not None
    assert (found.plan.clips, found.plan.quarantined) == (12, 0)


def test_absolute_paths_are_taken_under_a_declared_root_only(workspace: Workspace, tmp_path: Path) -> None:
    manifest = USUAL["nemo_manifest"](tmp_path / "real")
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    lists = tmp_path / "lists"
    lists.mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "audio")
    absolute = [row | {"audio_filepath": str(tmp_path / "link" / Path(row["audio_filepath"]).name)} for row in rows]
    (lists / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in absolute), "utf-8")
    table = ["path,text,speaker", *(f"{row['audio_filepath']},{row['text']},{row['speaker']}" for row in absolute)]
    (lists / "t.csv").write_text("\n".join(table), "utf-8")
    for number, name in enumerate(("m.jsonl", "t.csv")):
        refused = CliRunner().invoke(data, ["add", "-w", str(workspace.root), "a/asr", str(lists / name)])
        assert "--root DIR" in str(refused.exception)
        other = CliRunner().invoke(
            data, ["add", "-w", str(workspace.root), "a/asr", str(lists / name), "--root", str(lists)]
        )
        assert "is outside" in str(other.exception)
        command = inspect_source(lists / name).lines[0].command
        assert f"--root {tmp_path / 'link'}" in command
        words = shlex.split(command.replace("SITE/asr", f"a{number}/asr"))
        assert CliRunner().invoke(data, [*words[2:], "-w", str(workspace.root)], catch_exceptions=False).exit_code == 0
        made = find_latest(workspace, Slot(f"a{number}", "asr"))
        assert made is not None
        assert made.clips == LINES
    gone = CliRunner().invoke(data, ["inspect", str(lists / "m.jsonl"), "--root", str(tmp_path / "nothing")])
    assert "is not a folder" in str(gone.exception)


def test_no_workspace_is_needed_and_none_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = USUAL["table"](tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    assert inspected(source.name).exit_code == 0
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["stop the pump"], "en"),
        (["öffne die Tür", "schließe das Ventil"], "de"),
        (["el niño"], "es"),
        (["ポンプをとめて"], "ja"),
        (["привет"], "ru"),
        (["停止水泵"], "zh"),
        (["펌프를 멈춰"], "ko"),
    ],
)
def test_the_letters_show_the_language(texts: list[str], first: str) -> None:
    assert likely_languages(texts)[0] == first


def test_the_line_repeats_an_option_and_names_end_in_digits(tmp_path: Path) -> None:
    for speaker in ("p225", "p226", "p227"):
        for take in range(3):
            name = f"{speaker}_{take:03}"
            (tmp_path / f"{name}.wav").write_bytes(wav(voice(0.5, 300, 10 * int(speaker[1:]) + take)))
            (tmp_path / f"{name}.txt").write_text("open the valve")
    found = inspect_source(tmp_path, options={"quarantine": ("duplicates", "vocabulary")})
    assert found.speakers == {"p225": 3, "p226": 3, "p227": 3}
    assert "--option speaker=name --quarantine duplicates --quarantine vocabulary" in found.lines[0].command

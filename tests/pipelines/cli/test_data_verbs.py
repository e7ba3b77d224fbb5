from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from elp_core.errors import ElpError
from pipelines.cli.data_verbs import data
from pipelines.local.workspace import Workspace
from tests.support.deliveries import write_delivery

pytestmark = pytest.mark.integration


def elp_data(workspace: Workspace, *arguments: object) -> Result:
    verb, *rest = map(str, arguments)
    return CliRunner().invoke(data, [verb, "-w", str(workspace.root), *rest])


def test_a_delivery_is_added_listed_and_shown(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", anna_0={"bytes": b"broken"})
    added = elp_data(workspace, "add", "plant-a/asr", source, "--condition", "headset")
    assert "plant-a/asr is at v1: 11 clips added" in added.stdout
    assert "1 clip went to quarantine" in added.stdout
    assert added.stderr == "", "quiet in a pipe"
    listed = elp_data(workspace, "log", "plant-a/asr").stdout.splitlines()
    assert listed[1].split()[0] == "v1"
    assert listed[1].split()[3] == "11"
    shown = elp_data(workspace, "show", "plant-a/asr@v1").stdout
    assert all(word in shown for word in ("headset", "corrupt", "validation", "Data Docs: ", "golden/plant-a/asr/v1"))


def test_quarantine_names_each_file_with_its_reason(workspace: Workspace, tmp_path: Path) -> None:
    elp_data(workspace, "add", "plant-a/asr", write_delivery(tmp_path / "in", anna_0={"bytes": b"broken"}))
    listed = elp_data(workspace, "quarantine", "plant-a/asr").stdout.splitlines()
    assert listed[0].split() == ["file", "reason", "detail"]
    assert "anna_0" in listed[1]
    assert "corrupt" in listed[1]
    (one,) = json.loads(elp_data(workspace, "quarantine", "plant-a/asr", "--json").stdout)
    assert (one["reason"], len(one["sha256"])) == ("corrupt", 64)


def test_quarantine_is_fetched_where_a_clone_lacks_it(workspace: Workspace, tmp_path: Path) -> None:
    elp_data(workspace, "add", "plant-a/asr", write_delivery(tmp_path / "in", anna_0={"bytes": b"broken"}))
    shutil.rmtree(workspace.root / "data" / "plant-a" / "asr" / "quarantine")
    assert "corrupt" in elp_data(workspace, "quarantine", "plant-a/asr").stdout


def test_an_empty_quarantine_says_so(workspace: Workspace, tmp_path: Path) -> None:
    elp_data(workspace, "add", "plant-a/asr", write_delivery(tmp_path / "in"))
    assert "nothing of plant-a/asr is in quarantine" in elp_data(workspace, "quarantine", "plant-a/asr").stdout


def test_the_same_delivery_says_that_nothing_is_new(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in")
    first = json.loads(elp_data(workspace, "add", "plant-a/asv", source, "--json").stdout)
    again = json.loads(elp_data(workspace, "add", "plant-a/asv", source, "--json").stdout)
    assert (first["new"], again["new"]) == (True, False)
    assert first["dataset"] == again["dataset"]
    assert "stays at v1" in elp_data(workspace, "add", "plant-a/asv", source).stdout
    pinned = json.loads(elp_data(workspace, "golden", "plant-a/asv", "--from", "v1", "--json").stdout)
    assert pinned["tag"] == "golden/plant-a/asv/v1"


def test_an_empty_slot_lists_nothing(workspace: Workspace) -> None:
    assert "elp data add plant-a/asr SOURCE" in elp_data(workspace, "log", "plant-a/asr").stdout
    assert json.loads(elp_data(workspace, "log", "plant-a/asr", "--json").stdout) == []


@pytest.mark.parametrize("slot", ["Plant/asr", "plant a/asr", "plant/a/asr", "plant-a/tts", "plant-a"])
def test_a_bad_slot_name_is_a_usage_error(workspace: Workspace, slot: str) -> None:
    assert elp_data(workspace, "log", slot).exit_code == 2
    shown = elp_data(workspace, "show", slot)
    assert isinstance(shown.exception, ElpError)
    assert shown.exception.exit_code == 2


def test_names_that_look_alike_are_a_warning_with_their_counts(workspace: Workspace, tmp_path: Path) -> None:
    changes = {"bert_0": {"speaker": "ANNA"}, "bert_1": {"speaker": "nan"}}
    source = write_delivery(tmp_path / "in", **changes)
    warning = (
        "these speakers differ only by case, width or blanks and are kept apart: 'anna' (3 clips), 'ANNA' (1 clip)"
    )
    dry = elp_data(workspace, "add", "plant-a/asr", source, "--dry-run").stdout
    added = elp_data(workspace, "add", "plant-a/asr", source).stdout
    assert warning in dry
    assert warning in added
    assert "the speaker of 1 clip is 'nan'; if that stands for a missing value, leave the field empty" in added
    again = json.loads(elp_data(workspace, "add", "plant-a/asr", source, "--json").stdout)
    assert again["warnings"][0].startswith("these speakers differ only by case")
    assert again["dataset"]["doubtful_names"] == {"speaker": 3}
    assert "3 speakers that look like another name" in elp_data(workspace, "show", "plant-a/asr").stdout
    dropped = elp_data(workspace, "drop", "plant-a/asr", "--speaker", " anna\u200b").stdout
    assert "kept: 1 clip of 'ANNA'; it differs only by case, width, blanks or a channel's ending" in dropped


def test_an_encoding_can_be_declared(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", anna_0={"speaker": "?"})
    source.write_bytes(source.read_bytes().replace(b'"?"', '"田中"'.encode("cp932")))
    refused = elp_data(workspace, "add", "plant-a/asr", source)
    assert "add --encoding cp932" in str(refused.exception)
    dry = json.loads(
        elp_data(workspace, "add", "plant-a/asr", source, "--encoding", "shift_jis", "--dry-run", "--json").stdout
    )
    assert (dry["clips"], dry["speakers"]) == (12, 5)
    unknown = elp_data(workspace, "add", "plant-a/asr", source, "--encoding", "hex")
    assert "unknown encoding 'hex'" in str(unknown.exception)

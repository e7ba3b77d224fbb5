"""A delivery that is refused as a whole: its list stays readable, and the declared way to take the rest in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli.data_verbs import data
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.versions import find_latest
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import write_delivery

pytestmark = pytest.mark.integration
SLOT = Slot("plant-a", "asr")


def elp_data(workspace: Workspace, verb: str, *arguments: object) -> Result:
    return CliRunner().invoke(data, [verb, "-w", str(workspace.root), "plant-a/asr", *map(str, arguments)])


def test_the_list_of_a_refused_delivery_is_shown_until_one_is_taken_in(workspace: Workspace, tmp_path: Path) -> None:
    bad = {f"anna_{take}": {"bytes": b"broken"} for take in range(3)}
    source = write_delivery(tmp_path / "in", **bad)
    refused = str(elp_data(workspace, "add", source).exception)
    assert "see all with: elp data quarantine plant-a/asr" in refused
    assert "slots: {plant-a/asr: {data: {max_quarantined: 0.25}}} in elp.yaml" in refused
    shown = elp_data(workspace, "quarantine").stdout
    assert "the delivery manifest.jsonl was refused at " in shown
    assert "  - quarantine: 3 of 12 clips are unusable (3 corrupt)" in shown
    assert shown.count("corrupt  ") == 3
    listed = json.loads(elp_data(workspace, "quarantine", "--refused", "--json").stdout)
    assert [one["path"] for one in listed] == [f"audio/anna_{take}.wav" for take in range(3)]
    (workspace.root / "elp.yaml").write_text("slots: {plant-a/asr: {data: {max_quarantined: 0.25}}}\n", "utf-8")
    assert elp_data(workspace, "add", source).exit_code == 0
    after = elp_data(workspace, "quarantine").stdout
    assert "was refused" not in after
    assert after.count("corrupt  ") == 3
    assert json.loads(elp_data(workspace, "quarantine", "--refused", "--json").stdout) == []


def test_a_dropped_speaker_leaves_the_list_of_a_refused_delivery(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, SLOT, write_delivery(tmp_path / "one"))
    with pytest.raises(DataRefused, match="leakage"):
        add_delivery(workspace, SLOT, write_delivery(tmp_path / "two", seed=1, bert_0={"split": "test"}))
    assert "was refused" in elp_data(workspace, "quarantine").stdout
    assert elp_data(workspace, "drop", "--speaker", "bert").exit_code == 0
    assert "was refused" not in elp_data(workspace, "quarantine").stdout


def test_a_speaker_of_a_refused_delivery_alone_leaves_the_list(workspace: Workspace, tmp_path: Path) -> None:
    bad = {f"anna_{take}": {"bytes": b"broken"} for take in range(3)}
    for stored in (False, True):
        if stored:
            add_delivery(workspace, SLOT, write_delivery(tmp_path / "good", seed=1))
        elp_data(workspace, "add", write_delivery(tmp_path / f"in-{stored}", **bad))
        assert "was refused" in elp_data(workspace, "quarantine").stdout
        assert elp_data(workspace, "drop", "--speaker", "nobody").exit_code != 0
        assert json.loads(elp_data(workspace, "quarantine", "--refused", "--json").stdout) == []


def test_sounds_with_two_transcripts_go_to_quarantine_on_request(workspace: Workspace, tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path / "in", each=6)
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    (tmp_path / "in" / "audio" / "copy.wav").write_bytes((tmp_path / "in" / rows[0]["audio_filepath"]).read_bytes())
    again = rows[0] | {"audio_filepath": "audio/copy.wav", "text": "something else"}
    manifest.write_text("".join(json.dumps(row) + "\n" for row in [*rows, again]), "utf-8")
    refused = str(elp_data(workspace, "add", manifest).exception)
    assert "to take the others in without these, add --quarantine duplicates" in refused
    planned = json.loads(
        elp_data(workspace, "add", manifest, "--quarantine", "duplicates", "--dry-run", "--json").stdout
    )
    made = add_delivery(workspace, SLOT, manifest, options={"quarantine": ["duplicates"]})
    assert (made.clips, made.quarantine) == (23, {"duplicate_words": 2})
    assert (planned["clips"], planned["quarantine"]) == (23, {"duplicate_words": 2})
    entry = made.deliveries[-1]
    assert (entry.delivered, entry.clips, entry.repeats, [*entry.options["quarantine"]]) == (25, 23, 0, ["duplicates"])
    # a stored recording with other words stays as it is
    moved = rows[1] | {"text": "something else"}
    (tmp_path / "in" / "more.jsonl").write_text(json.dumps(moved) + "\n", "utf-8")
    policy = {"max_quarantined": 1.0}
    (workspace.root / "elp.yaml").write_text(f"slots: {{plant-a/asr: {{data: {json.dumps(policy)}}}}}\n", "utf-8")
    assert elp_data(workspace, "add", tmp_path / "in" / "more.jsonl", "--quarantine", "duplicates").exit_code == 0
    latest = find_latest(workspace, SLOT)
    assert latest is not None
    assert (latest.clips, latest.quarantine) == (23, {"duplicate_words": 3})


def test_transcripts_outside_the_alphabet_go_to_quarantine_on_request(workspace: Workspace, tmp_path: Path) -> None:
    strange = {f"anna_{take}": {"text": "turn to 90°"} for take in range(3)}
    source = write_delivery(tmp_path / "in", each=6, **strange)
    assert "add --quarantine vocabulary" in str(elp_data(workspace, "add", source).exception)
    made = add_delivery(workspace, SLOT, source, options={"quarantine": "vocabulary"})
    assert (made.clips, made.quarantine) == (21, {"outside_alphabet": 3})


def test_an_unknown_kind_is_a_usage_error(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="quarantine is 'all', expected one of duplicates, vocabulary"):
        add_delivery(workspace, SLOT, write_delivery(tmp_path / "in"), options={"quarantine": ["all"]})

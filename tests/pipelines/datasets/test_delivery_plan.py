from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli.data_verbs import data
from pipelines.datasets.delivery_plan import plan_delivery
from pipelines.datasets.ingest import add_delivery
from pipelines.errors import DataRefused, UsageError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import silence, write_delivery

pytestmark = pytest.mark.integration
SLOT = Slot("plant-a", "asr")


def state(workspace: Workspace) -> dict[str, bytes | None]:
    """Every path of the workspace, with the content of files."""
    return {
        path.relative_to(workspace.root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(workspace.root.rglob("*"))
        if ".git/" not in path.as_posix()
    }


def dry(workspace: Workspace, source: Path, *more: str) -> Result:
    arguments = ["add", "-w", str(workspace.root), "plant-a/asr", str(source), "--dry-run", *more]
    return CliRunner().invoke(data, arguments)


def test_a_plan_says_what_intake_then_does_and_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", anna_0={"bytes": b"broken"}, bert_1={"bytes": silence()})
    before, head = state(workspace), git.resolve(workspace.root)
    plan = plan_delivery(workspace, SLOT, source)
    assert state(workspace) == before
    assert git.resolve(workspace.root) == head
    made = add_delivery(workspace, SLOT, source)
    entry = made.deliveries[-1]
    assert (plan.delivered, plan.clips, plan.quarantined) == (entry.delivered, entry.clips, entry.quarantined)
    assert (plan.splits, plan.quarantine, plan.version) == (made.splits, made.quarantine, made.name)
    assert (plan.speakers, plan.new_speakers, plan.seconds) == (made.speakers, made.speakers, made.seconds)
    assert plan.details["corrupt"].startswith("audio/anna_0.wav: ")


def test_a_plan_counts_new_against_known(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, SLOT, write_delivery(tmp_path / "in", each=2))
    before = state(workspace)
    again = plan_delivery(workspace, SLOT, tmp_path / "in" / "manifest.jsonl")
    assert (again.version, again.clips, again.repeats, again.refused) == ("", 0, 8, ())
    more = plan_delivery(workspace, SLOT, write_delivery(tmp_path / "more", each=3))
    assert (more.version, more.clips, more.repeats, more.new_speakers) == ("v2", 4, 8, 0)
    assert state(workspace) == before


def test_a_refused_delivery_is_planned_and_ends_as_intake_would(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", anna_0={"split": "test"})
    shown = dry(workspace, source)
    assert "refused, see below" in shown.stdout
    assert isinstance(shown.exception, DataRefused)
    assert "leakage: 1 speaker in" in str(shown.exception)


def test_the_plan_is_printed_as_tables_and_as_json(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", anna_0={"bytes": b"broken"})
    shown = dry(workspace, source).stdout
    for words in (
        "format nemo",
        "11 new",
        "1 to quarantine",
        "plant-a/asr would be at v1",
        "corrupt",
        "dry run: nothing",
    ):
        assert words in shown
    values = json.loads(dry(workspace, source, "--json").stdout)
    assert (values["clips"], values["quarantine"], values["version"]) == (11, {"corrupt": 1}, "v1")


def test_options_of_a_format_are_checked(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", each=1)
    with pytest.raises(UsageError, match=r"fold is no option of the format nemo \(it has encoding, root\)"):
        plan_delivery(workspace, SLOT, source, options={"format_options": {"fold": "1"}})
    assert dry(workspace, source, "--option", "fold").exit_code == 2
    assert dry(workspace, source, "--option", "fold=1", "--option", "fold=2").exit_code == 2
    refused = dry(workspace, source, "--columns", "path=file").exception
    assert isinstance(refused, UsageError)
    assert "columns is no option of the format nemo" in str(refused)

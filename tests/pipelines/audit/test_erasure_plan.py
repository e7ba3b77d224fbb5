from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from sqlite3 import Connection

import click
import pytest

from pipelines.audit import erasure_plan
from pipelines.audit.data_index import FILE, open_index
from pipelines.audit.erasure_plan import CACHES, ErasurePlan, plan_erasure
from pipelines.audit.trained_on import find_trained_on
from pipelines.cli.main import cli
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.dvc import dvc_remote
from pipelines.datasets.subject import Subject
from pipelines.errors import VersioningError
from pipelines.local.workspace import Workspace, open_workspace
from tests.support.audited import ASR, ASV, Ground
from tests.support.records import champions

pytestmark = pytest.mark.integration
PIPELINES = Path(erasure_plan.__file__).parents[1]


def _commands(found: ErasurePlan) -> list[str]:
    drops = [step for slot in found.slots for step in slot.drops]
    steps = [*drops, *(step for slot in found.slots for step in slot.steps), *found.after]
    return [command for step in steps for command in step.commands]


def test_every_cache_is_emptied_or_is_known_to_hold_nothing_of_a_person() -> None:
    others = {
        "adapters": "bundles of registered versions: tensors",
        "bundles": "trainings that are not registered yet: tensors and curves",
        "dvc": "databases of DVC: digests",
        "nearest": "two numbers for each champion",
        "repositories": "mirrors of Git repositories",
    }
    written = re.compile(r"""cache(?:"\))? / "([\w.-]+)\"""")
    lines = [line for path in PIPELINES.rglob("*.py") for line in path.read_text().splitlines()]
    # .dvc/cache is DVC's own, and XDG_CACHE_HOME is a user's
    own = [line for line in lines if ".dvc" not in line and "XDG_CACHE_HOME" not in line]
    found = {name for line in own for name in written.findall(line)}
    assert found >= {"files", "sets", "features", "trials", "verdicts", "tuning", "sweeps", "audit.db"}
    assert found - set(CACHES.split()) == others.keys()


def test_a_champion_trained_on_them_is_replaced_and_the_data_dropped(ground: Ground, index: Connection) -> None:
    found = plan_erasure(index, ground.records, Subject(speaker="ann"))
    assert [slot.slot for slot in found.slots] == ["plant-a/asr", "plant-b/asv"]
    assert _commands(found)[:5] == [
        "elp data drop plant-a/asr --speaker ann",
        "elp data drop plant-b/asv --speaker ann",
        "elp retire plant-a/asr --reason erasure",
        "elp retrain plant-a/asr",
        "elp promote plant-a/asr",
    ]
    assert "plant-a/asr v1, plant-a/asr v2, plant-a/asr v3, plant-b/asv v1" in " ".join(found.stays)
    assert any(one.startswith("Enrolled voices: ") for one in found.stays)
    assert any("have the names of sessions or speakers with too few recordings" in one for one in found.stays)


def test_an_earlier_champion_that_was_not_trained_on_them_can_be_restored(ground: Ground, index: Connection) -> None:
    row = "SELECT c.id FROM clip c JOIN file f ON f.id = c.file JOIN span s ON s.file = f.id WHERE s.first = 2"
    clip = index.execute(row + " AND c.split = 'train'").fetchone()[0].hex()
    found = plan_erasure(index, ground.records, Subject(clip=clip))
    assert f"elp data drop plant-a/asr --clip {clip}" in _commands(found)
    assert not any(one.startswith("Enrolled voices: ") for one in found.stays)
    assert "elp rollback plant-a/asr --reason erasure" in _commands(found)
    assert "v1, the champion before it, was not trained on them" in found.slots[0].steps[0].what


def test_a_golden_speaker_needs_no_retraining_and_the_evidence_is_named(ground: Ground, index: Connection) -> None:
    found = plan_erasure(index, ground.records, Subject(speaker="eve"), ASR)
    assert _commands(found)[:1] == ["elp data drop plant-a/asr --speaker eve"]
    assert not any("retrain" in command for command in _commands(found))
    assert "the evidence of every verdict on golden/plant-a/asr/v1" in " ".join(found.stays)


def test_the_files_of_the_remote_are_named_with_their_path(index: Connection, ground: Ground) -> None:
    with dvc_remote(ground.workspace.root) as stored:
        found = plan_erasure(index, ground.records, Subject(speaker="ann"), None, stored.place)
    assert len(found.files) == 2
    assert all(Path(one.place).is_file() and one.current for one in found.files)
    assert {version for one in found.files for version in one.versions} == {
        "data/plant-a/asr/v1 … v2",
        "data/plant-a/asr/v2",
        "data/plant-b/asv/v1",
    }


def test_a_subject_that_nothing_holds_is_refused(ground: Ground, index: Connection) -> None:
    with pytest.raises(VersioningError, match="nothing in plant-a/asr holds speaker nobody"):
        plan_erasure(index, ground.records, Subject(speaker="nobody"), ASR)


def test_every_command_of_a_plan_exists(ground: Ground, index: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_WORKSPACE", str(ground.workspace.root))
    for line in _commands(plan_erasure(index, ground.records, Subject(speaker="ann"))):
        words = shlex.split(line.removeprefix("("))
        if words[0] != "elp":
            assert shutil.which(words[0]) or words[0] in ("cd", "dvc"), line
            continue
        context, command = cli.make_context("elp", words[1:]), cli
        # elp gc is a group whose verbs may be left out
        while isinstance(command, click.Group) and [*context._protected_args, *context.args]:
            name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None, line
            command, context = found, found.make_context(name, rest, parent=context)


def test_the_last_step_empties_what_holds_names_and_nothing_else(
    ground: Ground, index: Connection, tmp_path: Path
) -> None:
    cache, references = "cache/files/ab", ".elp/monitor/plant-a/asr/references"
    gone = {
        *(f".elp/{place}{cache}/shard" for place in ("", "worker/")),
        *(".elp/cache/audit.db", ".elp/data-docs/plant-a/asr/index.html", ".elp/worker/clones/1/.dvc/cache/shard"),
        *(f"{references}/old/{name}" for name in ("reference.json", "distance.npz")),
    }
    kept = {
        *(f".elp/{place}cache/bundles/one" for place in ("", "worker/")),
        *(".elp/worker/keys/one", ".elp/monitor/plant-a/asr/looks.jsonl", f"{references}/new/reference.json"),
    }
    for name in gone | kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"golden": ASR.tag(1, "golden")}, indent=1) if "old" in name else "{}")
    step = plan_erasure(index, ground.records, Subject(speaker="eve")).after[-1]
    for root in (tmp_path, tmp_path / "without-worker-and-monitor"):
        (root / ".elp" / "cache").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["sh", "-ec", "\n".join(step.commands)], cwd=root, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == kept


@pytest.fixture
def erased(ground: Ground, tmp_path: Path) -> Workspace:
    """A copy of the workspace in which the plan for ann was executed, except for the caches."""
    shutil.copytree(ground.workspace.root, tmp_path / "site", symlinks=True)
    workspace = open_workspace(tmp_path / "site")
    for slot in (ASR, ASV):
        drop_clips(workspace, slot, Subject(speaker="ann"))
    subprocess.run(
        [sys.executable, "-m", "dvc", "gc", "--workspace", "--cloud", "--force"], cwd=workspace.root, check=True
    )
    return workspace


def test_an_executed_plan_leaves_no_sound_in_the_remote_and_the_answers_stay_true(
    ground: Ground, erased: Workspace, tmp_path: Path
) -> None:
    with open_index(ground.workspace, print) as db, dvc_remote(ground.workspace.root) as stored:
        before = plan_erasure(db, ground.records, Subject(speaker="ann"), None, stored.place)
    relative = [Path(one.place).relative_to(ground.workspace.root) for one in before.files]
    assert [(erased.root / path).exists() for path in relative] == [False, False]
    with open_index(erased, print) as db:
        after = plan_erasure(db, ground.records, Subject(speaker="ann"))
        others = find_trained_on(db, ground.records, Subject(speaker="ben"))
    assert [slot.holds for slot in after.slots] == [(), ()]
    assert [one.current for one in after.files] == [False, False]
    assert [slot.champion is not None for slot in after.slots] == [True, True]  # until they are replaced
    assert {one.kind for one in others.holdings if one.version == 3} == {"data"}


def test_after_the_erasure_a_fresh_index_reports_unknown_training_data(ground: Ground, erased: Workspace) -> None:
    (erased.state / FILE).unlink(missing_ok=True)
    with open_index(erased, print) as db:
        plan = plan_erasure(db, ground.records, Subject(speaker="ann"))
    found = plan.found
    assert (found.holdings, found.adapters) == ((), ())
    assert {one.slot for one in found.unknown} == {"plant-a/asr", "plant-b/asv"}
    assert "the DVC remote holds no file" in found.unknown[0].note
    assert [step.commands for slot in plan.slots for step in slot.steps] == [
        ("elp retrain plant-a/asr", "elp promote plant-a/asr"),
        ("elp retrain plant-b/asv", "elp promote plant-b/asv"),
    ]


def test_once_replaced_nothing_is_left_to_retrain(ground: Ground, tmp_path: Path) -> None:
    from tests.support.records import Recorded

    records = Recorded(ground.records.ring, rows=list(ground.records.rows), stored=list(ground.records.stored))
    champions(records, ASR, [("retired", 2, None, "20")])
    shutil.copytree(ground.workspace.root, tmp_path / "site", symlinks=True)
    with open_index(open_workspace(tmp_path / "site"), print) as db:
        (slot,) = plan_erasure(db, records, Subject(speaker="ann"), ASR).slots
    assert [step.commands for step in slot.drops] == [("elp data drop plant-a/asr --speaker ann",)]
    (step,) = slot.steps
    assert (step.commands, "do not promote or roll back to v1, v2, v3" in step.what) == ((), True)


def test_logged_requests_are_counted_with_their_command(ground: Ground, index: Connection) -> None:
    found = plan_erasure(index, ground.records, Subject(speaker="ann"), logged={"plant-a/asr": 3})
    [step] = [step for step in found.after if "logged requests" in step.what]
    assert "plant-a/asr: 3" in step.what
    assert step.commands == ("elp requests erase --speaker ann",)
    assert any(one.startswith("The request logs of other hosts") for one in found.stays)


def test_a_person_who_is_in_the_request_log_only_has_a_plan(ground: Ground, index: Connection) -> None:
    with pytest.raises(VersioningError, match="nothing in any slot holds"):
        plan_erasure(index, ground.records, Subject(speaker="nobody-knows"))
    found = plan_erasure(index, ground.records, Subject(speaker="nobody-knows"), ASR, logged={"plant-a/asr": 1})
    assert _commands(found) == ["elp requests erase plant-a/asr --speaker nobody-knows"]

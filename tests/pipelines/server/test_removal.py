"""Deletion by policy on a real server: what goes, what stays whatever is asked for, the trash, and its end."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pipelines.registry.retention import POLICY_VARIABLE
from pipelines.server.removal.adapter_trash import MOST
from tests.support.contest import CHAMPION, FAILED, FORMER, OUTDATED, PASSED, UNGATED, Contest, prepare
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.rest import Answer
from tests.support.versions_by_hand import API, ARTIFACTS, ELP, promote, register

pytestmark = pytest.mark.integration

_numbers = itertools.count(1)
AT_ONCE = {"grace_days": 0, "trash_days": 0, "keep_last": 0}
"""Nothing is too young, too new or too shortly in the trash: only what is reachable stays."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    with guarded_server(tmp_path_factory.mktemp("removal"), environment={POLICY_VARIABLE: json.dumps(AT_ONCE)}) as one:
        yield one


@dataclass(frozen=True)
class Ground:
    """A slot with a version in every state."""

    contest: Contest

    def trash(self, *versions: int, **over: Any) -> Answer:
        made = self.contest.made
        wanted = [{"slot": self.contest.slot, "version": one, "bundle": made[one].bundle, **over} for one in versions]
        return self.contest.rest("POST", f"{ELP}/trash", {"versions": wanted})

    def post(self, verb: str, **values: Any) -> Answer:
        return self.contest.rest("POST", f"{ELP}/{verb}", values)

    def folder(self, version: int) -> Any:
        return self.contest.server.artifacts / self.contest.made[version].folder

    def versions(self) -> set[int]:
        return {int(name[1:]) for name in self.contest.state() if name[0] == "v" and name[1:].isdigit()}

    def retention(self) -> dict[int, Any]:
        listed = self.contest.rest.get(f"{ELP}/retention?sizes=true&slot={self.contest.slot.replace('/', '%2F')}")
        return {one["version"]: one for one in listed["adapters"]}

    def empty(self) -> set[int]:
        """Empty the trash; return the versions of this slot that went for good."""
        return {one["version"] for one in self.post("empty-trash").json["emptied"] if one["slot"] == self.contest.slot}

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.contest.ledger(self.contest.mark)]


@pytest.fixture(scope="module")
def _unchanged() -> list[Ground]:
    """Slots that a test has left as they were made: a new one costs more than a test."""
    return []


@pytest.fixture
def ground(server: GuardedServer, _unchanged: list[Ground]) -> Iterator[Ground]:
    made = _unchanged.pop() if _unchanged else Ground(prepare(server, f"gone-{next(_numbers)}"))
    made.contest.begin()
    yield made
    if not made.contest.changed():
        _unchanged.append(made)


def test_the_server_says_what_keeps_a_version(ground: Ground) -> None:
    found = ground.retention()
    assert {number for number, one in found.items() if one["champion"]} == {CHAMPION}
    assert {number for number, one in found.items() if one["former"]} == {FORMER, CHAMPION}
    assert {number for number, one in found.items() if one["challenger"]} == {PASSED}
    assert [found[number]["outcome"] for number in sorted(found)] == ["passed"] * 3 + ["failed", "", "passed"]
    for number, one in found.items():
        files = [path for path in ground.folder(number).rglob("*") if path.is_file()]
        assert one["bytes"] == sum(path.stat().st_size for path in files) > 0


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (CHAMPION, "v2 is not deleted by policy: champion"),
        (FORMER, "v1 is not deleted by policy: former champion: a rollback may bring it back"),
        (PASSED, "v3 is not deleted by policy: challenger"),
    ],
)
def test_what_is_reachable_stays_whatever_is_asked_for(ground: Ground, version: int, sentence: str) -> None:
    # together with one that may go: nothing of the request is done
    ground.contest.refused(ground.trash(FAILED, version), sentence)
    assert not ground.contest.changed()


@pytest.mark.parametrize(
    ("over", "status", "sentence"),
    [
        ({"bundle": "sha256:" + "0" * 64}, 403, "is not what it was when the plan was made"),
        ({"version": 99}, 403, "is not what it was"),
        ({"slot": "other/asr"}, 403, "is not what it was"),
        ({"version": "4; drop table"}, 400, "must be a whole number"),
        ({"bundle": 4}, 400, "expected text"),
        ({"slot": "../etc"}, 400, "is not a slot"),
    ],
    ids=str,
)
def test_a_request_that_names_something_else(ground: Ground, over: dict[str, Any], status: int, sentence: str) -> None:
    ground.trash(FAILED, **over).must_be(status, sentence)
    assert not ground.contest.changed()


def test_a_version_goes_to_the_trash_and_comes_back_as_it_was(ground: Ground) -> None:
    done = ground.trash(FAILED, UNGATED, OUTDATED)
    assert [one["version"] for one in done.json["trash"]] == [FAILED, UNGATED, OUTDATED]
    assert ground.versions() == {FORMER, CHAMPION, PASSED}
    # its bytes wait, and are as frozen as before
    path = ground.contest.made[FAILED].tensors
    ground.contest.rest("PUT", f"{ARTIFACTS}/{path}", body=b"x").must_be(403, "which is signed")
    ground.contest.rest("DELETE", f"{ARTIFACTS}/{ground.contest.made[FAILED].folder}").must_be(403, "which is signed")
    ground.trash(FAILED).must_be(403, "is not what it was")
    ground.post("restore", slot=ground.contest.slot, version=FAILED).must_be(200)
    ground.post("restore", slot=ground.contest.slot).must_be(200)
    assert not ground.contest.changed()
    assert ground.events() == ["deleted"] * 3 + ["refused"] * 3 + ["restored"] * 3


def test_the_end_of_the_trash_takes_the_bytes_and_leaves_the_evidence(ground: Ground) -> None:
    evidence = ground.contest.server.artifacts / ground.contest.made[FAILED].evidence
    ground.trash(FAILED, UNGATED).must_be(200)
    assert {one["version"] for one in ground.post("empty-trash").json["emptied"]} >= {FAILED, UNGATED}
    assert not ground.folder(FAILED).exists()
    assert not ground.folder(UNGATED).exists()
    assert evidence.is_file()
    assert ground.folder(CHAMPION).exists()
    assert ground.post("empty-trash").json["emptied"] == []
    ground.post("restore", slot=ground.contest.slot).must_be(403, "is in the trash, or its bytes are gone already")
    ledger = ground.contest.rest.get(f"{ELP}/ledger?event=trash%20emptied&limit=1000")["entries"]
    removed = [one["path"] for entry in ledger for one in entry["entry"]["detail"]["removed"]]
    assert ground.contest.made[FAILED].folder in removed
    # the model is gone from MLflow, too, and what stays is still guarded
    model = ground.contest.made[FAILED].model_id
    assert ground.contest.rest("GET", f"{API}/logged-models/{model}").status == 404
    ground.contest.rest("DELETE", f"{ARTIFACTS}/{ground.contest.made[FAILED].evidence}").must_be(403, "the evidence of")


def test_a_hold_keeps_what_is_in_the_trash(ground: Ground) -> None:
    ground.trash(FAILED).must_be(200)
    until = "2099-01-01T00:00:00+00:00"
    hold = ground.post("hold", subject=ground.contest.slot, until=until, reason="a dispute").json["number"]
    ground.trash(UNGATED).must_be(403, f"v5 is not deleted by policy: hold {hold} by ")
    assert ground.post("empty-trash").json["emptied"] == []
    assert ground.folder(FAILED).exists()
    ground.post("end-hold", hold=hold, reason="settled").must_be(200)
    assert [one["version"] for one in ground.post("empty-trash").json["emptied"]] == [FAILED]


def test_a_version_registered_again_on_the_same_model_keeps_its_bytes(ground: Ground) -> None:
    made = ground.contest.made[UNGATED]
    ground.trash(UNGATED).must_be(200)
    again = {"name": made.model, "source": f"models:/{made.model_id}", "run_id": made.run_id, "model_id": made.model_id}
    created = ground.contest.rest.post(f"{API}/model-versions/create", again)["model_version"]
    assert ground.post("empty-trash").json["emptied"]
    assert ground.folder(UNGATED).exists()
    path = ground.contest.made[UNGATED].tensors
    ground.contest.rest("PUT", f"{ARTIFACTS}/{path}", body=b"x").must_be(403, "which is signed")
    assert int(created["version"]) in ground.versions()


def test_a_version_in_the_trash_keeps_the_model_that_it_shares(ground: Ground) -> None:
    made, slot = ground.contest.made[UNGATED], ground.contest.slot
    again = {"name": made.model, "source": f"models:/{made.model_id}", "run_id": made.run_id, "model_id": made.model_id}
    created = int(ground.contest.rest.post(f"{API}/model-versions/create", again)["model_version"]["version"])
    ground.trash(UNGATED).must_be(200)
    ground.post("trash", versions=[{"slot": slot, "version": created, "bundle": ""}]).must_be(200)
    with sqlite3.connect(ground.contest.server.database.removeprefix("sqlite:///")) as rows:
        # its time is not over
        rows.execute(f"UPDATE elp_trash SET at = '2099-01-01T00:00:00.000000+00:00' WHERE version = {created}")
    assert [one["version"] for one in ground.post("empty-trash").json["emptied"]] == [UNGATED]
    ground.contest.rest("PUT", f"{ARTIFACTS}/{made.tensors}", body=b"x").must_be(403, "which is signed")
    with sqlite3.connect(ground.contest.server.database.removeprefix("sqlite:///")) as rows:
        rows.execute(f"UPDATE elp_trash SET at = '2020-01-01T00:00:00.000000+00:00' WHERE version = {created}")
    assert [one["version"] for one in ground.post("empty-trash").json["emptied"]] == [created]
    assert not ground.folder(UNGATED).exists()


def test_a_model_that_was_deleted_meanwhile_does_not_come_back(server: GuardedServer) -> None:
    contest = prepare(server, f"gone-{next(_numbers)}")
    ground = Ground(contest)
    ground.trash(FAILED).must_be(200)
    contest.ask("retire").must_be(200)
    contest.rest("DELETE", f"{API}/registered-models/delete", {"name": contest.model}).must_be(200)
    ground.post("restore", slot=contest.slot).must_be(403, "cannot come back: its model was deleted")
    made = register(contest.rest, contest.model, f"{contest.model}-new", lineage=contest.keys)
    assert made.version == 1
    assert [one["version"] for one in ground.post("empty-trash").json["emptied"]] == [FAILED]
    assert (server.artifacts / made.folder).exists()


def test_the_trash_keeps_the_parents_of_what_may_be_used(ground: Ground) -> None:
    contest, slot = ground.contest, ground.contest.slot
    chain, parent = [], ""
    for number in range(4):
        made = register(contest.rest, contest.model, f"{slot}-chain-{number}", lineage=contest.keys, parent=parent)
        contest.made[made.version], parent = made, made.bundle
        chain.append(made.version)
    ground.trash(*chain).must_be(200)
    # the third comes back alone; the one before it was deleted by hand, and the chain leads through it
    ground.post("restore", slot=slot, version=chain[2]).must_be(200)
    ground.post("restore", slot=slot, version=chain[1]).must_be(200)
    contest.rest("DELETE", f"{API}/model-versions/delete", {"name": made.model, "version": str(chain[1])}).must_be(200)
    assert ground.empty() == {chain[3]}
    assert ground.folder(chain[0]).exists()
    # in the trash and held, it keeps its parents as well
    ground.trash(chain[2]).must_be(200)
    hold = ground.post("hold", subject=slot, until="2099-01-01T00:00:00+00:00", reason="x").json["number"]
    assert ground.empty() == set()
    ground.post("end-hold", hold=hold, reason="x").must_be(200)
    assert ground.empty() == {chain[0], chain[2]}


def test_the_trash_keeps_the_parent_of_what_may_come_back(ground: Ground) -> None:
    contest, slot = ground.contest, ground.contest.slot
    first = register(contest.rest, contest.model, f"{slot}-first", lineage=contest.keys)
    second = register(contest.rest, contest.model, f"{slot}-second", lineage=contest.keys, parent=first.bundle)
    contest.made |= {made.version: made for made in (first, second)}
    ground.trash(first.version, second.version).must_be(200)
    with sqlite3.connect(contest.server.database.removeprefix("sqlite:///")) as rows:
        # its time is not over
        later = "UPDATE elp_trash SET at = '2099-01-01T00:00:00.000000+00:00' WHERE version = ?"
        rows.execute(later, (second.version,))
    assert ground.empty() == set()
    ground.post("restore", slot=slot).must_be(200)
    ground.trash(first.version, second.version).must_be(200)
    assert ground.empty() == {first.version, second.version}


def test_a_parent_waits_for_its_child_if_more_is_due_than_one_call_takes(ground: Ground) -> None:
    contest, slot = ground.contest, ground.contest.slot
    first = register(contest.rest, contest.model, f"{slot}-first", lineage=contest.keys)
    second = register(contest.rest, contest.model, f"{slot}-second", lineage=contest.keys, parent=first.bundle)
    contest.made |= {made.version: made for made in (first, second)}
    ground.trash(first.version, second.version).must_be(200)
    with sqlite3.connect(contest.server.database.removeprefix("sqlite:///")) as rows:
        # between the two, as many as one call takes, of another slot and without bytes
        ((parent, at),) = rows.execute("SELECT seq, at FROM elp_trash WHERE version = ?", (first.version,))
        rows.execute("UPDATE elp_trash SET seq = ? WHERE version = ?", (parent + 10_000, second.version))
        bare = json.dumps(dict.fromkeys(("bundle", "model_id", "run", "dataset", "storage_location"), ""))
        for number in range(1, MOST + 1):
            others = (parent + number, "elp.other.asr", number, at, "trashed", bare, 0)
            rows.execute(
                "INSERT INTO elp_trash (seq, model, version, at, state, row, bytes) VALUES (?,?,?,?,?,?,?)", others
            )
    assert ground.empty() == set()
    assert ground.folder(first.version).exists()
    assert ground.empty() == {first.version, second.version}


def _again(ground: Ground, version: int) -> Answer:
    """Register the training of a version again, on the same logged model, as a machine does that trained it again."""
    made = ground.contest.made[version]
    body = {"name": made.model, "source": f"models:/{made.model_id}", "run_id": made.run_id, "model_id": made.model_id}
    tags = [{"key": "elp.key", "value": f"{made.model.split('.')[1]}-{version}"}]
    return ground.contest.rest("POST", f"{API}/model-versions/create", {**body, "tags": tags})


def test_a_training_whose_version_is_in_the_trash_brings_it_back(ground: Ground) -> None:
    ground.trash(UNGATED, FAILED).must_be(200)
    _again(ground, UNGATED).must_be(400, f"v{UNGATED} was trained from exactly these inputs")
    assert ground.versions() == {FORMER, CHAMPION, PASSED, UNGATED, OUTDATED}
    keys = ["of a release before", f"{ground.contest.model.split('.')[1]}-{FAILED}"]
    assert ground.post("restore-trained", slot=ground.contest.slot, keys=keys).json == {"version": FAILED}
    assert ground.post("restore-trained", slot=ground.contest.slot, keys=keys).json == {"version": None}
    assert not ground.contest.changed()
    assert ground.events() == ["deleted", "deleted", "restored", "restored"]


def test_undo_never_makes_a_second_version_of_one_training(ground: Ground) -> None:
    ground.trash(UNGATED, FAILED).must_be(200)
    with sqlite3.connect(ground.contest.server.database.removeprefix("sqlite:///")) as rows:
        # of a server before this rule: the key was trained again while its version was in the trash
        key = rows.execute(
            "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = 'elp.key'",
            (ground.contest.model, UNGATED),
        ).fetchone()[0]
        rows.execute(
            "UPDATE model_version_tags SET value = ? WHERE name = ? AND version = ? AND key = 'elp.key'",
            (key, ground.contest.model, OUTDATED),
        )
    sentence = f"v{UNGATED} cannot come back: v{OUTDATED} was trained from the same inputs since then"
    ground.post("restore", slot=ground.contest.slot, version=UNGATED).must_be(403, sentence)
    done = ground.post("restore", slot=ground.contest.slot).json
    assert [one["version"] for one in done["restored"]] == [FAILED]
    assert [sentence in one for one in done["left"]] == [True]
    assert ground.versions() == {FORMER, CHAMPION, PASSED, FAILED, OUTDATED}


def test_an_override_keeps_what_it_brings_back(ground: Ground) -> None:
    # a rollback makes the champion a former one: it stays, too
    promote(ground.contest.rest, ground.contest.made[PASSED])
    for version in (FORMER, CHAMPION):
        ground.trash(version).must_be(403, "former champion")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"event": "promoted", "files": {"0" * 32: 1}, "reason": "x"}, "event: expected one of"),
        ({"event": "data deleted", "files": {}, "reason": "x"}, "files: expected"),
        ({"event": "data deleted", "files": {"../x": 1}, "reason": "x"}, "files: expected"),
        ({"event": "data deleted", "files": {"0" * 32: -1}, "reason": "x"}, "files: expected"),
        ({"event": "data deleted", "files": {"0" * 32: True}, "reason": "x"}, "files: expected"),
        ({"event": "data deleted", "files": ["0" * 32], "reason": "x"}, "files: expected"),
    ],
    ids=str,
)
def test_data_files_that_are_none(ground: Ground, values: dict[str, Any], sentence: str) -> None:
    ground.post("data-files", **values).must_be(400, sentence)


def test_who_may_remove_may_ask_before(ground: Ground) -> None:
    ground.post("may-remove").must_be(200)
    assert ground.events() == []


def test_data_files_are_recorded(ground: Ground) -> None:
    files = {"0" * 32: 7, "1" * 32 + ".dir": 2}
    answer = ground.post("data-files", event="data deleted", files=files, reason="retention").json
    (row,) = ground.contest.rest.get(f"{ELP}/ledger?after={answer['seq'] - 1}&limit=1")["entries"]
    assert (row["entry"]["event"], row["entry"]["detail"]) == ("data deleted", {"files": files})

"""The bytes behind a version: overwritten, added to, deleted, by every route that reaches the artifact store."""

from __future__ import annotations

import http.client
from urllib.parse import quote, urlsplit

import pytest

from pipelines.registry.signing.envelope import sign
from tests.support.contest import CHAMPION, FORMER, PASSED, UNGATED, Contest
from tests.support.versions_by_hand import (
    API,
    ARTIFACTS,
    ELP,
    gate,
    lineage_of,
    posted,
    promote,
    register,
    upload,
)

PREFIXES = ("/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow-artifacts/artifacts")
EVIL = b"other bytes"


@pytest.mark.parametrize("prefix", PREFIXES, ids=["api", "ajax-api"])
@pytest.mark.parametrize("version", [FORMER, CHAMPION, PASSED, UNGATED])
def test_weights_overwritten(contest: Contest, prefix: str, version: int) -> None:
    answer = contest.rest("PUT", f"{prefix}/{contest.made[version].tensors}", body=EVIL)
    contest.refused(answer, contest.slot)


@pytest.mark.parametrize("name", ["adapter.py", "MLmodel", "requirements.txt", "artifacts/bundle/evil.py", "new/file"])
def test_code_or_a_new_file_put_beside_the_weights(contest: Contest, name: str) -> None:
    # MLflow runs adapter.py wherever the champion is loaded
    contest.refused(contest.rest("PUT", f"{ARTIFACTS}/{contest.made[CHAMPION].folder}/{name}", body=EVIL))


def test_evidence_overwritten(contest: Contest) -> None:
    contest.refused(contest.rest("PUT", f"{ARTIFACTS}/{contest.made[PASSED].evidence}", body=b"{}"))


@pytest.mark.parametrize("prefix", PREFIXES, ids=["api", "ajax-api"])
@pytest.mark.parametrize("part", ["tensors", "folder", "evidence"])
def test_deleted(contest: Contest, prefix: str, part: str) -> None:
    contest.refused(contest.rest("DELETE", f"{prefix}/{getattr(contest.made[CHAMPION], part)}"))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_folder_above_deleted(contest: Contest, depth: int) -> None:
    above = "/".join(contest.made[CHAMPION].folder.split("/")[:depth])
    contest.refused(contest.rest("DELETE", f"{ARTIFACTS}/{above}"))


@pytest.mark.parametrize("path", ["", ".", "%2e", "./", "%2e/", "%252e", "//", "%2f"])
def test_the_whole_store_deleted(contest: Contest, path: str) -> None:
    assert contest.rest("DELETE", f"{ARTIFACTS}/{path}").status >= 400


def _tricks(path: str) -> dict[str, str]:
    head, tail = path.rsplit("/", 1)
    first, rest = path.split("/", 1)
    return {
        "double slash": f"{first}//{rest}",
        "leading slash": f"/{path}",
        "dot segment": f"{first}/./{rest}",
        "dot dot": f"{first}/x/../{rest}",
        "encoded dot": f"{first}/%2e/{rest}",
        "encoded dot dot": f"{first}/x/%2e%2e/{rest}",
        "encoded twice": f"{first}/%252e/{rest}",
        "encoded slash": quote(path, safe=""),
        "encoded slash twice": quote(quote(path, safe=""), safe=""),
        "encoded letters": "".join(f"%{ord(letter):02x}" for letter in path),
        "trailing slash": f"{path}/",
        "trailing dot": f"{path}/.",
        "back slash": path.replace("/", "\\"),
        "encoded back slash": path.replace("/", "%5c"),
        "query": f"{path}?x=1",
        "fragment": f"{path}%23x",
        "null": f"{path}%00",
        "file URI": f"file:///{path}",
        "upper case": path.upper(),
        "full width": f"{head}/{tail.replace('a', quote('ａ'))}",
        "semicolon": f"{path};x",
        "space after": f"{path}%20",
    }


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("trick", list(_tricks("a/b")))
def test_a_path_spelled_oddly(contest: Contest, method: str, trick: str) -> None:
    target = f"{ARTIFACTS}/{_tricks(contest.made[CHAMPION].tensors)[trick]}"
    contest.rest(method, target, body=EVIL if method == "PUT" else None)


@pytest.mark.parametrize("path", ["gate/v3/evidence.json", "gate//v3/evidence.json", "gate/./v3/evidence.json"])
def test_evidence_overwritten_through_upload_artifact(contest: Contest, path: str) -> None:
    target = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={contest.made[PASSED].run_id}&path={quote(path)}"
    answer = contest.rest("POST", target, body=b"{}", headers={"Content-Type": "application/json"})
    assert answer.status in (400, 403), answer.text


@pytest.mark.parametrize("route", ["create", "complete", "abort"])
def test_a_multipart_upload(contest: Contest, route: str) -> None:
    path = contest.made[CHAMPION].tensors
    values = {"path": "adapter_model.safetensors", "num_parts": 1, "upload_id": "x", "parts": []}
    answer = contest.rest("POST", f"/api/2.0/mlflow-artifacts/mpu/{route}/{path}", values)
    assert answer.status >= 400


@pytest.mark.parametrize("key", ["run_id", "model_id"])
def test_a_presigned_upload(contest: Contest, key: str) -> None:
    values = {key: getattr(contest.made[CHAMPION], key), "path": "artifacts/bundle/adapter_model.safetensors"}
    assert contest.rest("POST", f"{API}/artifacts/presigned-upload-url", values).status >= 400


def _spellings(contest: Contest) -> dict[str, str]:
    root = contest.server.artifacts
    bundle = f"{contest.made[CHAMPION].folder}/artifacts/bundle"
    return {
        "a path": f"{root}/{bundle}",
        "a file URI": f"file://{root}/{bundle}",
        "a FILE URI": f"FILE://{root}/{bundle}",
        "our own scheme": f"elp+file://{root}/{bundle}",
        "the root": f"file://{root}",
        "above the root": f"file://{root.parent}",
        "dots": f"file://{root}/x/../{bundle}",
        "proxied": f"mlflow-artifacts:/{bundle}",
    }


@pytest.mark.parametrize("spelling", ["a path", "a file URI", "a FILE URI", "our own scheme", "dots", "proxied"])
@pytest.mark.parametrize("through", ["upload-artifact", "the proxy"])
def test_an_experiment_that_keeps_its_runs_in_the_champions_folder(
    contest: Contest, spelling: str, through: str
) -> None:
    where, name = _spellings(contest)[spelling], f"thief-{contest.mark}-{spelling}-{through}"
    made = contest.rest("POST", f"{API}/experiments/create", {"name": name, "artifact_location": where})
    if made.status != 200:
        return
    experiment = made.json["experiment_id"]
    run = contest.rest.post(f"{API}/runs/create", {"experiment_id": experiment})["run"]["info"]
    if through == "upload-artifact":
        target = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run['run_id']}&path=evil.py"
        contest.rest("POST", target, body=EVIL, headers={"Content-Type": "application/octet-stream"})
    else:
        place = contest.made[CHAMPION].folder + f"/artifacts/bundle/{run['run_id']}/artifacts/evil.py"
        contest.rest("PUT", f"{ARTIFACTS}/{place}", body=EVIL)


def test_an_upload_that_began_before_the_version_was_there(own_contest: Contest) -> None:
    # the folder's name is known as soon as the model is logged, before it is registered
    contest, slow = own_contest, []

    def begin(path: str) -> None:
        slow.append(_begin_upload(contest, path))

    made = register(contest.rest, contest.model, "slow", lineage=contest.keys, before_registration=begin)
    gate(contest.rest, made, "passed", contest.made[CHAMPION], contest.keys)
    promote(contest.rest, made)
    contest.made[made.version] = made
    before = contest.bytes_on_disk()
    status = _finish_upload(slow[0])
    assert contest.bytes_on_disk() == before, f"the late upload ended with {status}"
    assert status == 403


def _begin_upload(contest: Contest, path: str) -> http.client.HTTPConnection:
    parts = urlsplit(contest.rest.uri)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.putrequest("PUT", f"{ARTIFACTS}/{path}")
    connection.putheader("Content-Length", str(len(EVIL)))
    connection.endheaders()
    connection.send(EVIL[:4])
    return connection


def _finish_upload(connection: http.client.HTTPConnection) -> int:
    connection.send(EVIL[4:])
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_version_whose_bytes_lie_where_nobody_guards_them(own_contest: Contest) -> None:
    """A run outside the store may be written to by anyone for ever: such a version must not become champion."""
    contest, outside = own_contest, own_contest.server.folder / "outside"
    made = contest.rest(
        "POST",
        f"{API}/experiments/create",
        {"name": f"outside-{contest.mark}", "artifact_location": f"file://{outside}"},
    )
    if made.status != 200:
        return
    run = contest.rest.post(f"{API}/runs/create", {"experiment_id": made.json["experiment_id"]})["run"]["info"]
    for name, content in contest.made[PASSED].files.items():
        target = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run['run_id']}&path=artifacts/bundle/{name}"
        contest.rest("POST", target, body=content, headers={"Content-Type": "application/octet-stream"})
    values = {"name": contest.model, "source": run["artifact_uri"], "run_id": run["run_id"]}
    created = contest.rest("POST", f"{API}/model-versions/create", values)
    if created.status == 200:
        contest.refused(contest.alias(created.json["model_version"]["version"]))
    assert contest.champion() == CHAMPION


def test_the_guard_is_not_lost_on_other_files(contest: Contest) -> None:
    """Frozen is what a version stands on, and nothing else: a run of another experiment is written as ever."""
    experiment = contest.rest.post(f"{API}/experiments/create", {"name": f"free-{contest.mark}-{id(contest)}"})
    path = f"{ARTIFACTS}/{experiment['experiment_id']}/0123/artifacts/notes.txt"
    assert contest.rest("PUT", path, body=b"one").status == 200
    assert contest.rest("PUT", path, body=b"two").status == 200
    assert contest.rest("DELETE", path).status == 200


@pytest.mark.parametrize("name", ["adapter.py", "MLmodel", "evil.py", "requirements.txt"])
def test_a_version_with_other_code_from_the_beginning(own_contest: Contest, name: str) -> None:
    """True weights with a true lineage, and beside them what serving would run or install."""
    contest = own_contest

    def plant(path: str) -> None:
        upload(contest.rest, f"{path.split('/artifacts/')[0]}/artifacts/{name}", b"import os")

    made = register(contest.rest, contest.model, "planted", lineage=None, before_registration=plant)
    envelope = sign(lineage_of(made).payload, contest.keys, "lineage").text
    contest.refused(contest.rest("POST", f"{ELP}/statements", posted(made, envelope)))
    contest.refused(contest.alias(made.version))
    assert contest.champion() == CHAMPION

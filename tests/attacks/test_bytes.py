"""The bytes behind a version: overwritten, added to, deleted, by every route that reaches the artifact store."""

from __future__ import annotations

import http.client
import posixpath
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

pytestmark = pytest.mark.both_stores

AJAX = "/ajax-api/2.0/mlflow-artifacts/artifacts"
EVIL = b"other bytes"
ADAPTER, EVIDENCE = "holds the adapter of", "holds the evidence of"


@pytest.mark.parametrize(
    ("prefix", "version"), [(ARTIFACTS, FORMER), (AJAX, CHAMPION), (ARTIFACTS, PASSED), (AJAX, UNGATED)]
)
def test_weights_overwritten(contest: Contest, prefix: str, version: int) -> None:
    answer = contest.rest("PUT", f"{prefix}/{contest.made[version].tensors}", body=EVIL)
    contest.refused(answer, ADAPTER, f"{contest.slot} v{version}, which is signed")


def test_code_or_a_new_file_put_next_to_the_weights(contest: Contest) -> None:
    # MLflow runs adapter.py on every host that loads the champion
    for name in ("adapter.py", "MLmodel", "requirements.txt", "artifacts/bundle/evil.py", "new/file"):
        answer = contest.rest("PUT", f"{ARTIFACTS}/{contest.made[CHAMPION].folder}/{name}", body=EVIL)
        contest.refused(answer, f"{name} {ADAPTER}")


def test_evidence_overwritten(contest: Contest) -> None:
    contest.refused(contest.rest("PUT", f"{ARTIFACTS}/{contest.made[PASSED].evidence}", body=b"{}"), EVIDENCE)


@pytest.mark.parametrize(
    ("prefix", "part", "what"),
    [(ARTIFACTS, "tensors", ADAPTER), (AJAX, "folder", ADAPTER), (ARTIFACTS, "evidence", EVIDENCE)],
)
def test_deleted(contest: Contest, prefix: str, part: str, what: str) -> None:
    contest.refused(contest.rest("DELETE", f"{prefix}/{getattr(contest.made[CHAMPION], part)}"), what)


def test_a_folder_above_deleted(contest: Contest) -> None:
    for depth in (1, 2, 3):
        above = "/".join(contest.made[CHAMPION].folder.split("/")[:depth])
        contest.refused(contest.rest("DELETE", f"{ARTIFACTS}/{above}"), f"{above} {ADAPTER}")


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        *((path, 403, "the whole artifact store holds the adapter of") for path in (".", "%2e", "./", "%2e/", "%252e")),
        *((path, 404, "Not Found") for path in ("", "//", "%2f")),
    ],
)
def test_the_whole_store_deleted(contest: Contest, path: str, status: int, sentence: str) -> None:
    contest.rest("DELETE", f"{ARTIFACTS}/{path}").must_be(status, sentence)


def _spelled(path: str) -> dict[str, str]:
    head, tail = path.rsplit("/", 1)
    first, rest = path.split("/", 1)
    return {
        "double slash": f"{first}//{rest}",
        "dot segment": f"{first}/./{rest}",
        "encoded dot": f"{first}/%2e/{rest}",
        "encoded twice": f"{first}/%252e/{rest}",
        "encoded slash": quote(path, safe=""),
        "encoded slash twice": quote(quote(path, safe=""), safe=""),
        "encoded letters": "".join(f"%{ord(letter):02x}" for letter in path),
        "trailing dot": f"{path}/.",
        "query": f"{path}?x=1",
        "null": f"{path}%00",
        "full width": f"{head}/{tail.replace('a', quote('ａ'))}",
        "semicolon": f"{path};x",
        "space after": f"{path}%20",
        "leading slash": f"/{path}",
        "trailing slash": f"{path}/",
        "dot dot": f"{first}/x/../{rest}",
        "encoded dot dot": f"{first}/x/%2e%2e/{rest}",
        "fragment": f"{path}%23x",
        "file URI": f"file:///{path}",
        "back slash": path.replace("/", "\\"),
        "encoded back slash": path.replace("/", "%5c"),
        "upper case": path.upper(),
    }


FILE_NAME = "Artifact path must include a filename"
ODDLY = {
    **dict.fromkeys(list(_spelled("a/b"))[:13], ((403, ADAPTER), (403, ADAPTER))),
    **dict.fromkeys(["dot dot", "encoded dot dot", "fragment", "file URI"], ((400, "Invalid path"),) * 2),
    "leading slash": ((400, "Invalid path"), (308, "You should be redirected automatically")),
    "trailing slash": ((400, FILE_NAME), (403, ADAPTER)),
    # these name files of their own, which belong to no version
    **dict.fromkeys(["back slash", "encoded back slash", "upper case"], ((200, ""), (200, ""))),
}
"""Spelling of a path -> the answers to PUT and DELETE."""
# SeaweedFS takes a backslash for a slash
ODDLY_ON_S3 = dict.fromkeys(["back slash", "encoded back slash"], ((400, "has a backslash"),) * 2)


@pytest.mark.parametrize("spelling", ODDLY)
def test_a_path_spelled_oddly(contest: Contest, spelling: str) -> None:
    target = f"{ARTIFACTS}/{_spelled(contest.made[CHAMPION].tensors)[spelling]}"
    put, delete = (contest.server.bucket and ODDLY_ON_S3.get(spelling)) or ODDLY[spelling]
    contest.rest("PUT", target, body=EVIL).must_be(*put)
    contest.rest("DELETE", target).must_be(*delete)


def test_evidence_overwritten_through_upload_artifact(contest: Contest) -> None:
    for path in ("gate/v3/evidence.json", "gate//v3/evidence.json", "gate/./v3/evidence.json"):
        target = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={contest.made[PASSED].run_id}&path={quote(path)}"
        answer = contest.rest("POST", target, body=b"{}", headers={"Content-Type": "application/json"})
        contest.refused(answer, EVIDENCE)


def test_an_upload_that_bypasses_the_server(contest: Contest) -> None:
    made = contest.made[CHAMPION]
    values = {"path": "adapter_model.safetensors", "num_parts": 1, "upload_id": "x", "parts": []}
    for route in ("create", "complete", "abort"):
        answer = contest.rest("POST", f"/api/2.0/mlflow-artifacts/mpu/{route}/{made.tensors}", values)
        answer.must_be(501, "Multipart upload is not supported for the current artifact repository")
    for key in ("run_id", "model_id"):
        values = {key: getattr(made, key), "path": "artifacts/bundle/adapter_model.safetensors"}
        answer = contest.rest("POST", f"{API}/artifacts/presigned-upload-url", values)
        answer.must_be(400, "Presigned upload is not supported for proxied artifact storage")


def test_an_experiment_whose_location_is_in_the_served_store(contest: Contest) -> None:
    root, bundle = contest.server.destination, f"{contest.made[CHAMPION].folder}/artifacts/bundle"
    scheme, path = root.split(":", 1)
    for location in (
        *((f"{path[2:]}/{bundle}",) if scheme == "file" else ()),
        f"{root}/{bundle}",
        f"{scheme.upper()}:{path}/{bundle}",
        f"elp+{root}/{bundle}",
        f"{root}/x/../{bundle}",
        f"{root}//{bundle}",
        root,
        posixpath.dirname(root),
    ):
        values = {"name": f"thief-{contest.mark}", "artifact_location": location}
        answer = contest.rest("POST", f"{API}/experiments/create", values)
        contest.refused(answer, f"the artifact location {location[:120]!r} is the store that this server guards")


def test_an_experiment_in_a_store_that_only_the_servers_keys_open(contest: Contest) -> None:
    if contest.server.bucket is None:
        # without artifacts on S3, a server has no keys that its users lack
        return
    for location in ("s3://data/dvc/files/md5", "S3://data", "s3a://data/dvc", "dbfs:/x"):
        values = {"name": f"thief-{contest.mark}", "artifact_location": location}
        answer = contest.rest("POST", f"{API}/experiments/create", values)
        contest.refused(answer, "is a store that this server would open with its keys")


def test_a_signed_address_that_bypasses_the_server(contest: Contest) -> None:
    """It would be valid for anyone who has it, and without a login."""
    made = contest.made[CHAMPION]
    answer = contest.rest("GET", f"/api/2.0/mlflow-artifacts/presigned/{made.tensors}")
    assert answer.status in (400, 501), answer.text
    assert "not supported" in answer.message
    values = {"run_id": made.run_id, "path": "artifacts/bundle/adapter_model.safetensors"}
    answer = contest.rest("POST", f"{API}/artifacts/presigned-download-url", values)
    answer.must_be(400, "Presigned download is not supported")


def test_clients_are_told_to_pass_all_bytes_through_the_server(contest: Contest) -> None:
    """MLflow's client asks this before each download; signed addresses are refused, so that it would fail."""
    shown = contest.rest.get("/api/3.0/mlflow/server-info")
    assert not [name for name, value in shown.items() if name.startswith("multipart") and value]


def test_an_experiment_whose_proxied_location_is_the_champions_folder(contest: Contest) -> None:
    folder = f"{contest.made[CHAMPION].folder}/artifacts/bundle"
    values = {"name": f"thief-{contest.mark}", "artifact_location": f"mlflow-artifacts:/{folder}"}
    experiment = contest.rest.post(f"{API}/experiments/create", values)["experiment_id"]
    run = contest.rest.post(f"{API}/runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    target = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=evil.py"
    # MLflow stores it under the numbers of experiment and run, whatever the location says
    contest.rest("POST", target, body=EVIL, headers={"Content-Type": "application/octet-stream"}).must_be(200)
    answer = contest.rest("PUT", f"{ARTIFACTS}/{folder}/{run}/artifacts/evil.py", body=EVIL)
    contest.refused(answer, ADAPTER)


def test_an_upload_that_began_before_the_version_existed(own_contest: Contest) -> None:
    # the folder's name is known as soon as the model is logged, before it is registered
    contest, slow = own_contest, []

    def begin(path: str) -> None:
        slow.append(_begin_upload(contest, path))

    made = register(contest.rest, contest.model, "slow", lineage=contest.keys, before_registration=begin)
    gate(contest.rest, made, "passed", contest.made[CHAMPION], contest.keys)
    promote(contest.rest, made)
    contest.made[made.version] = made
    before = contest.stored_bytes()
    status = _finish_upload(slow[0])
    assert contest.stored_bytes() == before, f"the late upload ended with {status}"
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


def test_a_version_whose_bytes_are_outside_the_store(contest: Contest) -> None:
    """Anyone may write to such a run for ever: it must not become a version of a slot."""
    values = {"name": f"outside-{contest.mark}", "artifact_location": f"file://{contest.server.folder}-outside"}
    experiment = contest.rest.post(f"{API}/experiments/create", values)["experiment_id"]
    run = contest.rest.post(f"{API}/runs/create", {"experiment_id": experiment})["run"]["info"]
    for name, content in contest.made[PASSED].files.items():
        target = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run['run_id']}&path=artifacts/bundle/{name}"
        sent = contest.rest("POST", target, body=content, headers={"Content-Type": "application/octet-stream"})
        sent.must_be(200)
    values = {"name": contest.model, "source": run["artifact_uri"], "run_id": run["run_id"]}
    answer = contest.rest("POST", f"{API}/model-versions/create", values)
    contest.refused(answer, "must be a logged model of this server (models:/m-…), got 'file:///")


def test_a_logged_model_outside_the_store(contest: Contest) -> None:
    values = {"name": f"logged-{contest.mark}", "artifact_location": f"file://{contest.server.folder}-outside"}
    experiment = contest.rest.post(f"{API}/experiments/create", values)["experiment_id"]
    logged = contest.rest.post(f"{API}/logged-models", {"experiment_id": experiment, "name": "adapter"})["model"][
        "info"
    ]
    values = {"name": contest.model, "source": f"models:/{logged['model_id']}", "model_id": logged["model_id"]}
    answer = contest.rest("POST", f"{API}/model-versions/create", values)
    contest.refused(answer, "is stored at file:///", "outside the artifact store of this server")


def test_other_files_are_not_frozen(contest: Contest) -> None:
    """Only what a version consists of is frozen: a run of another experiment can be written."""
    experiment = contest.rest.post(f"{API}/experiments/create", {"name": f"free-{contest.mark}-{id(contest)}"})
    path = f"{ARTIFACTS}/{experiment['experiment_id']}/0123/artifacts/notes.txt"
    contest.rest("PUT", path, body=b"one").must_be(200)
    contest.rest("PUT", path, body=b"two").must_be(200)
    contest.rest("DELETE", path).must_be(200)


def test_a_version_with_other_code_from_the_beginning(own_contest: Contest) -> None:
    """True weights with a true lineage, and in the same folder what serving would run or install."""
    contest = own_contest
    for name, fault in (
        ("adapter.py", "adapter.py, which runs for serving, is not the code of"),
        ("MLmodel", "MLmodel or a list of packages cannot be read"),
        ("evil.py", "evil.py"),
        ("requirements.txt", "'import os' would be installed"),
    ):

        def plant(path: str, name: str = name) -> None:
            upload(contest.rest, f"{path.split('/artifacts/')[0]}/artifacts/{name}", b"import os")

        made = register(contest.rest, contest.model, f"planted-{name}", lineage=None, before_registration=plant)
        envelope = sign(lineage_of(made).payload, contest.keys, "lineage").text
        answer = contest.rest("POST", f"{ELP}/statements", posted(made, envelope))
        contest.refused(answer, f"the bytes of {contest.slot} v{made.version} are no bundle: ", fault)
        contest.refused(contest.alias(made.version), "holds no intact bundle", fault)
    assert contest.champion() == CHAMPION

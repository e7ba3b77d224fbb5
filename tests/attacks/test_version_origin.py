"""The origin of a version: its run, its logged model, its experiment, changed or removed afterwards."""

from __future__ import annotations

import pytest

from tests.support.contest import CHAMPION, FAILED, PASSED, UNGATED, Contest
from tests.support.versions_by_hand import API


@pytest.mark.parametrize(("version", "why"), [(FAILED, "the gate's verdict is failed"), (UNGATED, "was never gated")])
def test_a_run_made_to_look_better(contest: Contest, version: int, why: str) -> None:
    run = {"run_id": contest.made[version].run_id}
    metric = {"key": "golden.wer", "value": 0.0, "timestamp": 1}
    tag = {"key": "elp.verdict", "value": "passed"}
    for route, values in (
        ("runs/log-metric", metric),
        ("runs/log-batch", {"metrics": [{**metric, "step": 0}], "tags": [tag], "params": [{"key": "x", "value": "y"}]}),
        ("runs/set-tag", tag),
        ("runs/log-parameter", {"key": "elp.gate", "value": "passed"}),
        ("runs/update", {"run_name": "passed", "status": "FAILED"}),
    ):
        contest.rest("POST", f"{API}/{route}", {**run, **values}).must_be(200)
        contest.refused(contest.alias(version), why)


@pytest.mark.parametrize(
    ("what", "version", "holder"),
    # an experiment has all versions of the slot: the sentence names the first
    [("run", CHAMPION, CHAMPION), ("model", PASSED, PASSED), ("experiment", CHAMPION, 1), ("run", PASSED, PASSED)],
)
def test_what_a_version_is_based_on_removed(contest: Contest, what: str, version: int, holder: int) -> None:
    """Deleted runs are marked for `mlflow gc`, which would delete the bytes too."""
    made = contest.made[version]
    method, route, values = {
        "run": ("POST", "runs/delete", {"run_id": made.run_id}),
        "model": ("DELETE", f"logged-models/{made.model_id}", {}),
        "experiment": ("POST", "experiments/delete", {"experiment_id": made.folder.split("/")[0]}),
    }[what]
    answer = contest.rest(method, f"{API}/{route}", values)
    contest.refused(answer, f"stays: {contest.slot} v{holder} is based on it; delete the version first")
    run = contest.rest.get(f"{API}/runs/get?run_id={made.run_id}")["run"]["info"]
    assert run["lifecycle_stage"] == "active"
    contest.rest("GET", f"{API}/logged-models/{made.model_id}").must_be(200)


def test_the_experiment_renamed_to_the_demos(contest: Contest) -> None:
    """MLflow deletes everything of its demo, which it finds by the experiment's name, without asking."""
    made = contest.made[CHAMPION]
    experiment = made.folder.split("/")[0]
    parameter = {"run_id": made.run_id, "key": "demo", "value": "true"}
    contest.rest("POST", f"{API}/runs/log-parameter", parameter).must_be(200)
    values = {"experiment_id": experiment, "new_name": "MLflow Demo"}
    contest.refused(contest.rest("POST", f"{API}/experiments/update", values), f"experiment {experiment} stays")
    contest.rest("POST", "/ajax-api/3.0/mlflow/demo/delete", {}).must_be(200, '"features_deleted":[]')
    stage = contest.rest.get(f"{API}/runs/get?run_id={made.run_id}")["run"]["info"]["lifecycle_stage"]
    assert stage == "active"


@pytest.mark.parametrize("status", [1, 3, 0], ids=["pending", "upload failed", "unspecified"])
def test_a_model_marked_as_unfinished(contest: Contest, status: int) -> None:
    made = contest.made[CHAMPION]
    values = {"model_id": made.model_id, "status": status}
    answer = contest.rest("PATCH", f"{API}/logged-models/{made.model_id}", values)
    contest.refused(answer, f"model {made.model_id} stays: {contest.slot} v2 is based on it")
    shown = contest.rest.get(f"{API}/logged-models/{made.model_id}")["model"]["info"]
    assert shown["artifact_uri"].endswith(made.folder)


def test_tags_of_the_logged_model(contest: Contest) -> None:
    made = contest.made[FAILED]
    values = {"model_id": made.model_id, "tags": [{"key": "elp.verdict", "value": "passed"}]}
    contest.rest("PATCH", f"{API}/logged-models/{made.model_id}/tags", values).must_be(200)
    contest.refused(contest.alias(FAILED), "the gate's verdict is failed")


def test_another_model_under_the_same_training_key(own_contest: Contest) -> None:
    """The next registration finds the planted model by its key: the bytes are not those that were signed."""
    contest, made = own_contest, own_contest.made[PASSED]
    planted = contest.rest.post(
        f"{API}/logged-models",
        {
            "experiment_id": made.folder.split("/")[0],
            "name": "adapter",
            "source_run_id": made.run_id,
            "tags": [{"key": "elp.key", "value": f"{contest.model}-{PASSED}"}],
        },
    )["model"]["info"]
    values = {"name": contest.model, "source": f"models:/{planted['model_id']}", "model_id": planted["model_id"]}
    created = contest.rest.post(f"{API}/model-versions/create", {**values, "run_id": made.run_id})["model_version"]
    contest.refused(contest.alias(created["version"]), "holds no intact bundle (it cannot be read: No such artifact")
    assert contest.champion() == CHAMPION

"""What a version came from: its run, its logged model, its experiment, changed or removed after the fact."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, FAILED, PASSED, UNGATED, Contest
from tests.support.versions_by_hand import API


def _edits(run_id: str) -> dict[str, tuple[str, dict[str, Any]]]:
    batch = {
        "run_id": run_id,
        "metrics": [{"key": "golden.wer", "value": 0.0, "timestamp": 1, "step": 0}],
        "tags": [{"key": "elp.verdict", "value": "passed"}],
        "params": [{"key": "x", "value": "y"}],
    }
    return {
        "a metric": ("runs/log-metric", {"run_id": run_id, "key": "golden.wer", "value": 0.0, "timestamp": 1}),
        "a batch": ("runs/log-batch", batch),
        "a tag": ("runs/set-tag", {"run_id": run_id, "key": "elp.verdict", "value": "passed"}),
        "a parameter": ("runs/log-parameter", {"run_id": run_id, "key": "elp.gate", "value": "passed"}),
        "the name": ("runs/update", {"run_id": run_id, "run_name": "passed", "status": "FAILED"}),
    }


@pytest.mark.parametrize("edit", list(_edits("")))
@pytest.mark.parametrize("version", [FAILED, UNGATED])
def test_a_run_made_to_look_better(contest: Contest, edit: str, version: int) -> None:
    route, values = _edits(contest.made[version].run_id)[edit]
    contest.rest("POST", f"{API}/{route}", values)
    contest.refused(contest.alias(version))


@pytest.mark.parametrize("version", [CHAMPION, PASSED])
@pytest.mark.parametrize("what", ["run", "model", "experiment"])
def test_what_a_version_came_from_removed(contest: Contest, what: str, version: int) -> None:
    """Deleted is marked for `mlflow gc`, which would take the bytes with it."""
    made = contest.made[version]
    method, route, values = {
        "run": ("POST", "runs/delete", {"run_id": made.run_id}),
        "model": ("DELETE", f"logged-models/{made.model_id}", {}),
        "experiment": ("POST", "experiments/delete", {"experiment_id": made.folder.split("/")[0]}),
    }[what]
    answer = contest.rest(method, f"{API}/{route}", values)
    assert answer.status == 403, f"{answer.status} {answer.text[:300]}"
    run = contest.rest.get(f"{API}/runs/get?run_id={made.run_id}")["run"]["info"]
    assert run["lifecycle_stage"] == "active"
    assert contest.rest("GET", f"{API}/logged-models/{made.model_id}").status == 200


def test_the_experiment_passed_off_as_the_demo(contest: Contest) -> None:
    """MLflow deletes everything of its demo, which it knows by the experiment's name, without a question."""
    made = contest.made[CHAMPION]
    experiment = made.folder.split("/")[0]
    contest.rest("POST", f"{API}/runs/log-parameter", {"run_id": made.run_id, "key": "demo", "value": "true"})
    renamed = contest.rest(
        "POST", f"{API}/experiments/update", {"experiment_id": experiment, "new_name": "MLflow Demo"}
    )
    contest.rest("POST", "/ajax-api/3.0/mlflow/demo/delete", {})
    stage = contest.rest.get(f"{API}/runs/get?run_id={made.run_id}")["run"]["info"]["lifecycle_stage"]
    if renamed.status == 200:
        back = {"experiment_id": experiment, "new_name": contest.model}
        contest.rest("POST", f"{API}/experiments/restore", {"experiment_id": experiment})
        contest.rest("POST", f"{API}/experiments/update", back)
    assert stage == "active"


@pytest.mark.parametrize("status", [1, 3, 0], ids=["pending", "upload failed", "unspecified"])
def test_a_model_marked_as_unfinished(contest: Contest, status: int) -> None:
    made = contest.made[CHAMPION]
    contest.rest("PATCH", f"{API}/logged-models/{made.model_id}", {"model_id": made.model_id, "status": status})
    shown = contest.rest.get(f"{API}/logged-models/{made.model_id}")["model"]["info"]
    assert shown["artifact_uri"].endswith(made.folder)


def test_tags_of_the_logged_model(contest: Contest) -> None:
    made = contest.made[FAILED]
    values = {"model_id": made.model_id, "tags": [{"key": "elp.verdict", "value": "passed"}]}
    contest.rest("PATCH", f"{API}/logged-models/{made.model_id}/tags", values)
    contest.refused(contest.alias(FAILED))


def test_another_model_under_the_same_training_key(own_contest: Contest) -> None:
    """Whoever registers next finds the planted model by its key: the bytes are not those that were signed."""
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
    created = contest.rest("POST", f"{API}/model-versions/create", {**values, "run_id": made.run_id})
    if created.status == 200:
        contest.refused(contest.alias(created.json["model_version"]["version"]))
    assert contest.champion() == CHAMPION

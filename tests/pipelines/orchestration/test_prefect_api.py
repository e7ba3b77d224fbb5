from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, Log, State, StateType
from prefect.exceptions import PrefectHTTPStatusError

from pipelines.errors import ServiceError, UsageError
from pipelines.local.http_client import free_port
from pipelines.local.workspace import Workspace
from pipelines.orchestration import prefect_api
from pipelines.orchestration.follow import follow
from pipelines.orchestration.run_outcome import REFUSED, RunOutcome
from tests.support.outcomes import JUDGED

RUN_ID = UUID(int=1)
RUN = prefect_api.FollowedRun(str(RUN_ID), "retrain a/asr", "Scheduled", "SCHEDULED", "", "")


class Client:
    """Stands for Prefect's client: returns what a test sets, the last run and page of lines again and again."""

    def __init__(self, runs: list[FlowRun], pages: list[list[Log]] | None = None, artifacts: Any = ()) -> None:
        self.api_url = "http://prefect/api/"
        self.runs, self.pages, self.artifacts, self.workers = runs, pages or [[]], artifacts, []

    def read_flow_run(self, run_id: UUID) -> FlowRun:
        assert run_id == RUN_ID
        found = self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]
        if isinstance(found, Exception):
            raise found
        return found

    def read_logs(self, *_: Any, **__: Any) -> list[Log]:
        return self.pages.pop(0) if self.pages else []

    def read_artifacts(self, **_: Any) -> Any:
        return self.artifacts

    def read_workers_for_work_pool(self, pool: str) -> list[Any]:
        return self.workers


def _run(kind: StateType, name: str | None = None, message: str = "") -> FlowRun:
    state = State(type=kind, name=name or kind.value.title(), message=message)
    return FlowRun(id=RUN_ID, name="retrain a/asr", flow_id=UUID(int=2), state=state)


def _line(message: str, level: int = 20) -> Log:
    return Log(name="prefect", level=level, message=message, timestamp="2026-01-01T00:00:00Z")


def _refusal(status: int, body: Any) -> PrefectHTTPStatusError:
    request = httpx.Request("POST", "http://prefect/api/x")
    return PrefectHTTPStatusError("refused", request=request, response=httpx.Response(status, json=body))


def test_following_passes_on_states_and_lines_until_the_end() -> None:
    error = "Task failed: bad\nTraceback (most recent call last):\n  deep"
    noise = [_line("Finished in state Completed()"), _line("Encountered exception during execution: X('bad')", 40)]
    client = Client(
        [_run(StateType.RUNNING), httpx.ReadTimeout("slow"), _run(StateType.COMPLETED, REFUSED, "worse")],
        [[_line("taking in x"), *noise], [_line(error, 40)]],
    )
    said: list[str] = []
    ended = follow(client, RUN, "elp-gpu", said.append, every=0.0, last=0.0)
    assert (ended.state, ended.message) == (REFUSED, "worse")
    assert ended.url == f"http://prefect/runs/flow-run/{RUN_ID}"
    assert said == ["taking in x", "retrain a/asr: Running", "error: Task failed: bad"]


def test_a_prefect_that_stays_silent_ends_the_following(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.orchestration.follow._OUTAGE", 0.0)
    with pytest.raises(ServiceError, match="Prefect does not answer at http://prefect/api/"):
        follow(Client([httpx.ReadTimeout("slow")]), RUN, "elp-gpu", print, every=0.0)


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        ([], "no worker of elp-gpu is online, so nothing will run; start one with: elp up"),
        ([SimpleNamespace(status="ONLINE")], "still waiting for a free worker of elp-gpu; it is busy with other runs"),
    ],
)
def test_a_run_that_no_worker_takes_says_why_once(monkeypatch, workers: list[Any], text: str) -> None:
    monkeypatch.setattr("pipelines.orchestration.follow._PATIENCE", -1.0)
    client = Client([*[_run(StateType.PENDING)] * 3, _run(StateType.COMPLETED)])
    client.workers = workers
    said: list[str] = []
    follow(client, RUN, "elp-gpu", said.append, every=0.0, last=0.0)
    assert [line for line in said if "worker" in line] == [line for line in said if line.startswith(text)]
    assert sum("worker" in line for line in said) == 1


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            _refusal(422, {"exception_detail": [{"type": "missing"}, {"type": "value_error", "msg": "Invalid cron"}]}),
            UsageError,
            "Prefect refused the request: Invalid cron$",
        ),
        (_refusal(409, {"detail": "it exists"}), UsageError, "refused the request: it exists$"),
        (
            _refusal(503, {"exception_message": "Service Unavailable"}),
            ServiceError,
            "Prefect at http://p/api failed with HTTP 503: Service Unavailable",
        ),
        (
            httpx.ConnectError("refused"),
            ServiceError,
            r"does not answer at http://p/api \(refused\); .*elp status",
        ),
    ],
)
def test_an_error_of_prefect_is_one_sentence(error: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message), prefect_api.prefect_errors("http://p/api"):
        raise error


def test_a_prefect_that_is_gone_names_the_address_and_the_next_step_at_once(workspace: Workspace) -> None:
    gone = f"http://127.0.0.1:{free_port('127.0.0.1')}/api"
    with (
        pytest.raises(ServiceError, match=rf"does not answer at {gone} .*elp status"),
        prefect_api.connect_prefect(workspace, gone) as client,
    ):
        prefect_api.find_deployment(client, "retrain", workspace)


def test_the_outcome_is_the_record_that_the_run_published() -> None:
    outcome = RunOutcome(gate=JUDGED)
    client = Client([], artifacts=[SimpleNamespace(data=json.dumps(outcome.to_json()))])
    assert prefect_api.read_outcome(client, str(RUN_ID)) == outcome
    assert prefect_api.read_outcome(Client([]), str(RUN_ID)) == RunOutcome()


def test_a_quick_prefect_knows_every_schema_check_but_the_address_grammar() -> None:
    code = (
        "import json, sys; from pipelines.quick_imports import skip_grammar; skip_grammar(); "
        "import prefect; print(json.dumps(['rfc3987_syntax' in sys.modules, prefect.__version__]))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded, version = json.loads(shown)
    assert not loaded
    assert version == "3.8.8", "check pipelines/orchestration/quick_prefect.py with the new Prefect"


def test_the_worker_starts_the_engine_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.workers import process

    from pipelines.orchestration import quick_prefect

    monkeypatch.setattr(process.ProcessWorker, "job_configuration", process.ProcessJobConfiguration)
    quick_prefect._start_engine_directly()
    configuration = process.ProcessWorker.job_configuration()
    configuration.prepare_for_flow_run(_run(StateType.PENDING))
    assert configuration.command == f'"{sys.executable}" -m pipelines.orchestration.quick_prefect engine'
    assert configuration._command_configured

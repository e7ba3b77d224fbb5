"""Two scheduled slots in one pass on the servers of a team: PostgreSQL, and an object store for data and bundles."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.local.profiles import Profile
from tests.support.night import night_of
from tests.support.object_store import OWNER, ObjectStore
from tests.support.postgres import Postgres
from tests.support.workspaces import isolate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_two_slots_that_are_due_together(
    tmp_path: Path, store: ObjectStore, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(tmp_path / "home", monkeypatch)
    monkeypatch.setenv("ELP_KEYS", str(tmp_path / "site" / ".elp" / "keys"))
    databases = {name: postgres.database(f"together-{name}") for name in ("mlflow", "prefect")}
    settings = f"""servers:
  mlflow_port: 0
  prefect_port: 0
  together: 2
  database: {databases["mlflow"]}
  prefect_database: {databases["prefect"]}
  artifacts: s3://speech/together-artifacts
  s3_endpoint: {store.endpoint}
"""
    profile = Profile("s3://speech/together-data", s3_endpoint=store.endpoint)
    secrets = OWNER.data_environment() | OWNER.artifacts_environment()
    with night_of(tmp_path, ("one", "two"), settings, profile, secrets) as night:
        runs = night.start("one", "two")
        assert night.wait(runs) == {"one": "Completed", "two": "Completed"}
        for site, other in (("one", "two"), ("two", "one")):
            (lineage,) = night.lineages(site)
            assert lineage["flow_run"] == runs[site]
            assert lineage["training"]["beside"] == [f"{other}/asr"]
    stored = store.etags("speech", "together-artifacts")
    assert sum(key.endswith("/adapter_model.safetensors") for key in stored) == 2

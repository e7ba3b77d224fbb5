"""MLflow's runs and logged models that no version is based on: failed trainings, cut-off uploads, deleted by hand.

They are deleted `policy.runs` after they ended. Kept is a run or a model that any version is based on, in the registry
or in the trash; the run of a training that ever made a version; what holds the evidence of a verdict; and whatever is
stored outside the artifact store of this server.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun, SqlTag

from pipelines.registry.adapter_version import OPENED_TAG, Tags
from pipelines.registry.ledger.entry import Principal
from pipelines.registry.retention import RetentionPolicy
from pipelines.server.auth.principal import ADMINISTER, authorize
from pipelines.server.ledger import TRASH
from pipelines.server.mlflow_private import delete_logged_model, delete_run_rows
from pipelines.server.refusal import Attempt
from pipelines.server.removal.artifact_deletion import prune_folder
from pipelines.server.removal.stored_adapters import opened_at
from pipelines.server.storage.artifact_bytes import frozen_by, served_path
from pipelines.server.storage.locked_store import LockedStore

_OPEN = ("RUNNING", "SCHEDULED")
_DELETED = "deleted"
MOST = 200
"""Runs, and models, that one call deletes, so that no request lasts for minutes."""


@dataclass(frozen=True)
class Unregistered:
    """What is deleted, by id."""

    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what the API sends."""
        return {name: list(ids) for name, ids in asdict(self).items()}


def find_unregistered(session: Any, policy: RetentionPolicy, now: datetime | None = None) -> Unregistered:
    """Return the runs and the logged models whose time is over, by id."""
    before = int(((now or datetime.now(UTC)) - policy.runs).timestamp() * 1000)
    runs, models = _in_use(session)
    keys = set(session.scalars(sa.select(SqlModelVersionTag.value).where(SqlModelVersionTag.key == Tags.KEY)))
    return Unregistered(
        tuple(run_id for run_id, path in _old_runs(session, before, runs, keys) if _loose(session, path)),
        tuple(model_id for model_id, path in _old_models(session, before, models) if _loose(session, path)),
    )


def sweep_unregistered(
    store: LockedStore, policy: RetentionPolicy, principal: Principal, now: datetime | None = None
) -> Unregistered:
    """Delete `MOST` runs and models whose time is over; the next call continues, until nothing is left.

    The entry comes first. A call that is killed leaves rows, and the next one finds them again.
    """
    with store.refusing(principal):
        authorize(ADMINISTER, Attempt("delete runs by policy"))
        with store.locked() as transaction:
            every = find_unregistered(transaction.session, policy, now)
            found = Unregistered(every.runs[:MOST], every.models[:MOST])
            if found == Unregistered():
                return found
            why = f"retention: no version is based on them, and they ended {policy.runs_days:g} days ago"
            transaction.append("trash emptied", "", principal, reason=why, detail={"removed": [], **found.to_json()})
    for model_id in found.models:
        _delete(store, SqlLoggedModel.artifact_location, SqlLoggedModel.model_id == model_id)
        _gone(delete_logged_model, model_id)
    for run_id in found.runs:
        _delete(store, SqlRun.artifact_uri, SqlRun.run_uuid == run_id)
        _gone(delete_run_rows, run_id)
    return found


def _in_use(session: Any) -> tuple[set[str], set[str]]:
    """Return the runs and the logged models that versions of any model are based on, in the registry or the trash."""
    runs, models = set[str](), set[str]()
    for run_id, source in session.execute(sa.select(SqlModelVersion.run_id, SqlModelVersion.source)):
        runs.add(run_id or "")
        models.add((source or "").removeprefix("models:/"))
    for text in session.scalars(sa.select(TRASH.c.row)):
        before = json.loads(text)
        runs.add(before["run"])
        models.add(before["model_id"])
    return runs, models


def _old_runs(session: Any, before: int, used: set[str], keys: set[str]) -> list[tuple[str, str]]:
    """Return id and artifact location of each old run: of a slot's experiment, or deleted by hand in any one."""
    key, opened = sa.orm.aliased(SqlTag), sa.orm.aliased(SqlTag)
    # a client that names no start leaves a 0: the age of such a run is not known, and it stays
    ended = sa.func.coalesce(SqlRun.deleted_time, SqlRun.end_time, sa.func.nullif(SqlRun.start_time, 0))
    query = (
        sa.select(SqlRun.run_uuid, SqlRun.artifact_uri, SqlRun.status, key.value, opened.value)
        .join(SqlExperiment, SqlExperiment.experiment_id == SqlRun.experiment_id)
        .outerjoin(key, sa.and_(key.run_uuid == SqlRun.run_uuid, key.key == Tags.KEY))
        .outerjoin(opened, sa.and_(opened.run_uuid == SqlRun.run_uuid, opened.key == OPENED_TAG))
        .where(ended < before, sa.or_(SqlExperiment.name.startswith("elp."), SqlRun.lifecycle_stage == _DELETED))
        .order_by(SqlRun.run_uuid)
    )
    # a training that is tried again opens the run of its first attempt, which may have begun long ago
    return [
        (run_id, location or "")
        for run_id, location, status, of_key, at in session.execute(query)
        if run_id not in used and of_key not in keys and not (status in _OPEN and opened_at(at) >= before)
    ]


def _old_models(session: Any, before: int, used: set[str]) -> list[tuple[str, str]]:
    query = (
        sa.select(SqlLoggedModel.model_id, SqlLoggedModel.artifact_location)
        .join(SqlExperiment, SqlExperiment.experiment_id == SqlLoggedModel.experiment_id)
        .where(
            SqlLoggedModel.last_updated_timestamp_ms < before,
            sa.or_(SqlExperiment.name.startswith("elp."), SqlLoggedModel.lifecycle_stage == _DELETED),
        )
        .order_by(SqlLoggedModel.model_id)
    )
    return [(model_id, location or "") for model_id, location in session.execute(query) if model_id not in used]


def _loose(session: Any, location: str) -> bool:
    """Return whether a folder is in the store of this server, and neither frozen nor with frozen folders in it."""
    path = served_path(location)
    return path is not None and frozen_by(session, path, tree=True) is None


def _delete(store: LockedStore, location: Any, where: Any) -> None:
    """Delete the artifacts of a row."""
    with store.ManagedSessionMaker() as session:
        path = served_path(session.scalar(sa.select(location).where(where)) or "")
    if path is not None:
        prune_folder(store, path)


def _gone(delete: Any, name: str) -> None:
    try:
        delete(name)
    except MlflowException as error:
        # another call was quicker
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise

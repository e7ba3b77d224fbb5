"""MLflow's SQL tracking store with the guard in it: runs and logged models behind a slot's version stay.

The server's own scheme `sqlite` or `postgresql` gets this store inside a guarded server (`guard_tracking`), so that the
command line keeps MLflow's plain address for runs.
"""

from __future__ import annotations

import os
import urllib.parse
from typing import Any, NamedTuple

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlLoggedModel, SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import select

from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import caller
from pipelines.server.refusal import Refusal
from pipelines.server.stores import current as server

_SOURCE = "models:/"


class Behind(NamedTuple):
    """A slot's version, and what it stands on."""

    model: str
    version: int
    run_id: str
    source: str


class GuardedTracking(SqlAlchemyStore):  # type: ignore[misc]
    """The tracking store."""

    def delete_logged_model(self, model_id: str) -> None:
        """As MLflow's, but for a model behind a slot's version."""
        _refuse(_behind(SqlModelVersion.source == _SOURCE + model_id), f"model {model_id}", "delete a logged model")
        super().delete_logged_model(model_id)

    def finalize_logged_model(self, model_id: str, status: Any) -> Any:
        """As MLflow's, but for a model behind a slot's version, which is ready and stays so."""
        if str(getattr(status, "name", status)) != "READY":
            _refuse(_behind(SqlModelVersion.source == _SOURCE + model_id), f"model {model_id}", "fail a logged model")
        return super().finalize_logged_model(model_id, status)

    def delete_run(self, run_id: str) -> None:
        """As MLflow's, but for a run behind a slot's version: the gate's evidence lies there."""
        _refuse(_behind(SqlModelVersion.run_id == run_id), f"run {run_id}", "delete a run")
        super().delete_run(run_id)

    def delete_experiment(self, experiment_id: Any) -> None:
        """As MLflow's, but for an experiment with a run or model behind a slot's version."""
        _refuse(self._inside(experiment_id), f"experiment {experiment_id}", "delete an experiment")
        super().delete_experiment(experiment_id)

    def _inside(self, experiment_id: Any) -> list[Behind]:
        """The slots' versions that stand on a run or a logged model of an experiment."""
        number = int(experiment_id)
        with self.ManagedSessionMaker() as session:
            runs = set(session.scalars(select(SqlRun.run_uuid).where(SqlRun.experiment_id == number)))
            models = set(session.scalars(select(SqlLoggedModel.model_id).where(SqlLoggedModel.experiment_id == number)))
        return [b for b in _behind() if b.run_id in runs or b.source.removeprefix(_SOURCE) in models]

    def rename_experiment(self, experiment_id: Any, new_name: str) -> Any:
        """As MLflow's, but for an experiment behind a slot's version: MLflow deletes its demo's by name, unasked."""
        _refuse(self._inside(experiment_id), f"experiment {experiment_id}", "rename an experiment")
        return super().rename_experiment(experiment_id, new_name)

    def _hard_delete_experiment(self, experiment_id: Any) -> None:
        _refuse(self._inside(experiment_id), f"experiment {experiment_id}", "delete an experiment")
        super()._hard_delete_experiment(experiment_id)

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> Any:
        """As MLflow's, but its artifacts may not lie in the served store under another address."""
        if artifact_location and _inside_store(artifact_location):
            with server.registry().refusing(caller()):
                raise Refusal(
                    f"the artifact location {artifact_location[:120]!r} is the store that this server guards; leave it "
                    "out, and the server chooses a place in it",
                    what="create an experiment",
                )
        return super().create_experiment(name, artifact_location, tags)


def guard_tracking() -> None:
    """Make this process build guarded stores for SQLite and PostgreSQL: the server, and MLflow's client inside it.

    Parts of the server go through that client (the demo's deletion, jobs), which knows the database by its plain
    address.
    """
    from mlflow.server import handlers
    from mlflow.tracking._model_registry import utils as client_registry
    from mlflow.tracking._tracking_service import utils as client_tracking

    def build(store_uri: str, artifact_uri: str) -> GuardedTracking:
        return GuardedTracking(store_uri, artifact_uri)

    def registry(store_uri: str, **_: Any) -> Any:
        return server.registry()

    for scheme in ("sqlite", "postgresql"):
        handlers._tracking_store_registry.register(scheme, build)
        client_tracking._tracking_store_registry.register(scheme, build)
        client_registry._get_store_registry().register(scheme, registry)
    if not isinstance(handlers._tracking_store, GuardedTracking):
        handlers._tracking_store = None


def _behind(*where: Any) -> list[Behind]:
    """The slots' versions that fit."""
    columns = (SqlModelVersion.name, SqlModelVersion.version, SqlModelVersion.run_id, SqlModelVersion.source)
    wanted = select(*columns).where(
        SqlModelVersion.name.startswith("elp."), SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL, *where
    )
    with server.registry().ManagedSessionMaker() as session:
        rows = session.execute(wanted).all()
    return [Behind(str(m), int(v), str(run or ""), str(source or "")) for m, v, run, source in rows if Slot.of_model(m)]


def _refuse(behind: list[Behind], thing: str, what: str) -> None:
    if not behind:
        return
    model, version = behind[0].model, behind[0].version
    slot = Slot.of_model(model)
    with server.registry().refusing(caller()):
        raise Refusal(
            f"{thing} stays: {slot} v{version} stands on it; delete the version first, where it is not the champion",
            what=what,
            model=model,
            version=version,
        )


def _inside_store(location: str) -> bool:
    """Whether a location lies in the served store, or around it, under another name than ``mlflow-artifacts:``."""
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR

    destination = urllib.parse.urlsplit(os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR, "").removeprefix("elp+"))
    asked = urllib.parse.urlsplit(location.removeprefix("elp+"))
    if asked.scheme == "mlflow-artifacts":
        return False
    if (asked.scheme or "file", asked.netloc) != (destination.scheme or "file", destination.netloc):
        return False
    mine, theirs = _plain(destination.path), _plain(asked.path)
    return os.path.commonpath([mine, theirs]) in (mine, theirs)


def _plain(path: str) -> str:
    return os.path.realpath("/" + urllib.parse.unquote(path).lstrip("/"))

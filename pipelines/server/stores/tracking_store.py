"""MLflow's SQL tracking store with the guard in it: runs and logged models that a slot's version is based on stay.

In a guarded server the schemes `sqlite` and `postgresql` build this store (`mlflow_private.build_stores`), so that the
command line keeps MLflow's plain address for runs.
"""

import os
import urllib.parse
from typing import Any

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlLoggedModel, SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import select

from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import current_caller
from pipelines.server.refusal import Attempt
from pipelines.server.stores.registry_store import registry

_SOURCE = "models:/"


class GuardedTracking(SqlAlchemyStore):  # type: ignore[misc]
    """The tracking store of a guarded server. Each method does what MLflow's own does, after the check."""

    def delete_logged_model(self, model_id: str) -> None:
        """Delete a logged model that no slot's version is based on."""
        self._refuse_model(model_id, "delete a logged model")
        super().delete_logged_model(model_id)

    def finalize_logged_model(self, model_id: str, status: Any) -> Any:
        """Set the status of a logged model; one that a slot's version is based on stays READY."""
        # to set READY again changes nothing
        if str(getattr(status, "name", status)) != "READY":
            self._refuse_model(model_id, "fail a logged model")
        return super().finalize_logged_model(model_id, status)

    def delete_run(self, run_id: str) -> None:
        """Delete a run that no slot's version is based on; the others hold the gate's evidence."""
        _refuse(_origins(SqlModelVersion.run_id == run_id), f"run {run_id}", "delete a run")
        super().delete_run(run_id)

    def delete_experiment(self, experiment_id: Any) -> None:
        """Delete an experiment without runs and models that slots' versions are based on."""
        self._refuse_experiment(experiment_id, "delete an experiment")
        super().delete_experiment(experiment_id)

    def rename_experiment(self, experiment_id: Any, new_name: str) -> Any:
        """Rename such an experiment: MLflow deletes its demo's experiment by name, without asking."""
        self._refuse_experiment(experiment_id, "rename an experiment")
        return super().rename_experiment(experiment_id, new_name)

    def _hard_delete_experiment(self, experiment_id: Any) -> None:
        self._refuse_experiment(experiment_id, "delete an experiment")
        super()._hard_delete_experiment(experiment_id)

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> Any:
        """Create an experiment; its artifacts may not be in a store that only this server may write."""
        if artifact_location and (fault := _location_fault(artifact_location)):
            with registry().refusing(current_caller()):
                raise Attempt("create an experiment").refused(
                    f"the artifact location {artifact_location[:120]!r} is {fault}; leave it out, and the server "
                    "chooses a place in its own store"
                )
        return super().create_experiment(name, artifact_location, tags)

    def _refuse_model(self, model_id: str, what: str) -> None:
        _refuse(_origins(SqlModelVersion.source == _SOURCE + model_id), f"model {model_id}", what)

    def _refuse_experiment(self, experiment_id: Any, what: str) -> None:
        number = int(experiment_id)
        with self.ManagedSessionMaker() as session:
            runs = set(session.scalars(select(SqlRun.run_uuid).where(SqlRun.experiment_id == number)))
            models = set(session.scalars(select(SqlLoggedModel.model_id).where(SqlLoggedModel.experiment_id == number)))
        inside = [one for one in _origins() if one.run_id in runs or (one.source or "").removeprefix(_SOURCE) in models]
        _refuse(inside, f"experiment {experiment_id}", what)


def _origins(*where: Any) -> list[Any]:
    """Return the rows (name, version, run_id, source) of the slots' versions that match."""
    columns = (SqlModelVersion.name, SqlModelVersion.version, SqlModelVersion.run_id, SqlModelVersion.source)
    wanted = select(*columns).where(
        SqlModelVersion.name.startswith("elp."), SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL, *where
    )
    with registry().ManagedSessionMaker() as session:
        return [row for row in session.execute(wanted) if Slot.of_model(row.name)]


def _refuse(origins: list[Any], name: str, what: str) -> None:
    if not origins:
        return
    model, version, slot = origins[0].name, origins[0].version, Slot.of_model(origins[0].name)
    with registry().refusing(current_caller()):
        raise Attempt(what, model, version).refused(
            f"{name} stays: {slot} v{version} is based on it; delete the version first, if it is not the champion"
        )


def _location_fault(location: str) -> str:
    """Return why a location is refused; empty if it is not.

    It may not be in the served store, or contain it, under another scheme than its own. If the served store is on S3,
    it is proxied or a folder: MLflow's other clients for object stores would use the keys of this machine.
    """
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR

    destination = urllib.parse.urlsplit(os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR, "").removeprefix("elp+"))
    asked = urllib.parse.urlsplit(location.removeprefix("elp+"))
    if asked.scheme == "mlflow-artifacts":
        return ""
    guarded = "the store that this server guards"
    if destination.scheme == "s3":
        if asked.scheme in {"", "file"}:
            return ""
        return guarded if asked.netloc == destination.netloc else "a store that this server would open with its keys"
    if (asked.scheme or "file", asked.netloc) != (destination.scheme or "file", destination.netloc):
        return ""
    served, wanted = _real_path(destination.path), _real_path(asked.path)
    return guarded if os.path.commonpath([served, wanted]) in (served, wanted) else ""


def _real_path(path: str) -> str:
    # a link or dots would name the served folder in another way
    return os.path.realpath("/" + urllib.parse.unquote(path).lstrip("/"))

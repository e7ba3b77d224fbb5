"""MLflow's SQL registry store with the guard in it: every write that could make, fake or lose a champion is checked.

Entry points ``elp+sqlite`` and ``elp+postgresql`` of `mlflow.model_registry_store`. Each method does what MLflow's own
does. If the guard does not allow a write, the method raises `Refusal` after it is recorded in the ledger.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mlflow.entities.model_registry import ModelVersionTag

from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, Tags
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import TRAIN, authorize, current_caller
from pipelines.server.mlflow_private import registry_store
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import FrozenFolder, freeze, served_path
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.trash_rows import restore_key
from pipelines.server.storage.version_rows import alias_version, bundle_of
from pipelines.server.stores import write_checks
from pipelines.server.stores.write_checks import parse_number
from pipelines.server.transitions.champion_transition import move_champion


class GuardedStore(LockedStore):
    """The registry store of a guarded server."""

    def _check(self, check: Callable[..., None], *values: Any) -> None:
        """Run a check of `write_checks`; a refusal is recorded."""
        with self.refusing(current_caller()):
            check(*values)

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """Set an alias; the alias champion moves by a champion transition, challenger follows the verdicts."""
        slot = Slot.of_model(name)
        if slot is not None and alias == CHAMPION:
            move_champion(self, slot, parse_number(version), current_caller(), "", "any")
            return
        self._check(write_checks.check_alias, name, alias)
        super().set_registered_model_alias(name, alias, version)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Delete an alias; the two aliases of a slot stay."""
        self._check(write_checks.check_alias_deletion, name, alias)
        super().delete_registered_model_alias(name, alias)

    def create_registered_model(
        self, name: str, tags: Any = None, description: str | None = None, deployment_job_id: str | None = None
    ) -> Any:
        """Create a model; a name that looks like a slot's and tags that claim a decision are refused."""
        self._check(write_checks.check_new_model, name, tags or [])
        return super().create_registered_model(name, tags, description, deployment_job_id)

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """Rename a model; no model is renamed to or from a slot's name."""
        self._check(write_checks.check_rename, name, new_name)
        return super().rename_registered_model(name, new_name)

    def delete_registered_model(self, name: str) -> None:
        """Delete a model; a slot with a champion stays, and the deletion of another slot is recorded."""
        slot, caller = Slot.of_model(name), current_caller()
        if slot is None:
            super().delete_registered_model(name)
            return
        with self.refusing(caller), self.locked() as transaction:
            write_checks.check_deletion(transaction.session, slot, None)
            super().delete_registered_model(name)
            transaction.append("deleted", str(slot), caller, detail={"model": name})

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Set a tag of a model; tags under ``elp.`` are the server's."""
        self._check(write_checks.check_tag, tag.key, name, None)
        super().set_registered_model_tag(name, tag)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Delete a tag of a model; tags under ``elp.`` are the server's."""
        self._check(write_checks.check_tag, key, name, None)
        super().delete_registered_model_tag(name, key)

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Sequence[Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        """Create a version; a slot's version is a logged model, whose folder is frozen from now on."""
        given, slot = list(tags or []), Slot.of_model(name)
        rest = (run_link, description, local_model_path, model_id)
        with self.refusing(current_caller()):
            authorize(TRAIN, Attempt("create a version", name))
            write_checks.check_new_version(name, source, given)
            if slot is None:
                return super().create_model_version(name, source, run_id, given, *rest)
            # committed before the check below, which then finds the version of this training
            with self.locked() as transaction:
                for key in (tag.value for tag in given if tag.key == Tags.KEY):
                    restore_key(transaction, slot, key, current_caller())
            with self.locked() as transaction:
                write_checks.check_not_leaving(transaction.session, slot, source)
                write_checks.check_new_key(transaction.session, slot, given)
                # in one transaction: a version that is not frozen could be changed before its first check
                given += [ModelVersionTag(Tags.VERDICT, "not gated"), ModelVersionTag(Tags.STATUS, "candidate")]
                created = super().create_model_version(name, source, run_id, given, *rest)
                number = parse_number(created.version)
                location = self.row(name, number).storage_location or ""
                write_checks.check_location(slot, number, location)
                freeze(transaction.session, served_path(location) or "", FrozenFolder(name, number, "adapter"))
                return created

    def update_model_version(self, name: str, version: Any, description: str | None = None) -> Any:
        """Change a description; one that the server wrote stays."""
        slot = Slot.of_model(name)
        if slot is None:
            return super().update_model_version(name, version, description)
        # under the lock: a verdict that is recorded between check and write would lose its description
        with self.refusing(current_caller()), self.locked() as transaction:
            write_checks.check_description(transaction.session, slot, parse_number(version))
            return super().update_model_version(name, version, description)

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: Any
    ) -> Any:
        """Change a stage; slots have no stages."""
        self._check(write_checks.check_stage, name, parse_number(version))
        return super().transition_model_version_stage(name, version, stage, archive_existing_versions)

    def delete_model_version(self, name: str, version: Any) -> None:
        """Delete a version; the champion stays, and the deletion of another version is recorded."""
        slot, caller = Slot.of_model(name), current_caller()
        if slot is None:
            super().delete_model_version(name, version)
            return
        number = parse_number(version)
        with self.refusing(caller), self.locked() as transaction:
            session = transaction.session
            write_checks.check_deletion(session, slot, number)
            # read first: MLflow's deletion removes the bundle's tag and the alias
            bundle = bundle_of(session, name, number)
            detail = {"challenger": True} if alias_version(session, name, CHALLENGER) == number else {}
            super().delete_model_version(name, number)
            transaction.append("deleted", str(slot), caller, after=number, bundle=bundle, detail=detail)

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> None:
        """Set a tag of a version; tags under ``elp.`` are the server's."""
        self._check(write_checks.check_tag, tag.key, name, parse_number(version))
        super().set_model_version_tag(name, version, tag)

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """Delete a tag of a version; tags under ``elp.`` are the server's."""
        self._check(write_checks.check_tag, key, name, parse_number(version))
        super().delete_model_version_tag(name, version, key)


def registry() -> GuardedStore:
    """Return this process's registry store; raise RuntimeError if the server was started without the guard."""
    store = registry_store()
    if not isinstance(store, GuardedStore):
        raise RuntimeError(
            f"the registry store is {type(store).__name__}, not the guard's; start the server with "
            "--registry-store-uri elp+sqlite:///… or elp+postgresql://… (docs/explanation/registry.md)"
        )
    return store

"""MLflow's SQL registry store with the guard in it: every write that could make, fake or lose a champion passes here.

Entry points ``elp+sqlite`` and ``elp+postgresql`` of `mlflow.model_registry_store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow.entities.model_registry import ModelVersionTag

from pipelines.registry.slot import Slot
from pipelines.registry.tags import CHALLENGER, CHAMPION, Tags
from pipelines.server.auth.authorize import authorize
from pipelines.server.auth.principal import caller
from pipelines.server.auth.roles import TRAIN
from pipelines.server.refusal import Refusal
from pipelines.server.stores import write_checks as checks
from pipelines.server.stores.artifact_bytes import served_path
from pipelines.server.stores.frozen_folders import freeze
from pipelines.server.stores.locked_store import LockingStore
from pipelines.server.stores.reserved_names import own_alias
from pipelines.server.transitions import champion_transition as door
from pipelines.server.transitions import version_facts as facts


class GuardedStore(LockingStore):
    """The registry. A write that the guard does not allow raises `Refusal`, after it was recorded in the ledger."""

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """As MLflow's; the alias champion goes through the door, challenger follows the verdicts."""
        slot, who = Slot.of_model(name), caller()
        if slot is not None and alias == CHAMPION:
            door.move(self, slot, checks.number(version), who, "", "any")
            return
        with self.refusing(who):
            checks.alias(name, alias)
        super().set_registered_model_alias(name, alias, version)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """As MLflow's; the two aliases of a slot stay."""
        slot = Slot.of_model(name)
        if slot is not None and own_alias(alias):
            what = (
                f"a slot loses its champion by: elp retire {slot} --reason REASON"
                if alias == CHAMPION
                else "it follows the gate's verdicts"
            )
            with self.refusing(caller()):
                raise Refusal(f"the alias {alias} of {slot} is not deleted: {what}", what="delete an alias", model=name)
        super().delete_registered_model_alias(name, alias)

    def create_registered_model(
        self, name: str, tags: Any = None, description: str | None = None, deployment_job_id: str | None = None
    ) -> Any:
        """As MLflow's; names that look like a slot's, and tags that claim something, are refused."""
        with self.refusing(caller()):
            checks.new_model(name, tags or [])
        return super().create_registered_model(name, tags, description, deployment_job_id)

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """As MLflow's; nothing is renamed to or from a slot's name."""
        with self.refusing(caller()):
            checks.rename(name, new_name)
        return super().rename_registered_model(name, new_name)

    def delete_registered_model(self, name: str) -> None:
        """As MLflow's; a slot with a champion stays, another one's end is recorded."""
        slot, who = Slot.of_model(name), caller()
        if slot is None:
            super().delete_registered_model(name)
            return
        with self.refusing(who), self.locked() as book:
            checks.no_champion(book.session, slot, None)
            super().delete_registered_model(name)
            book.append("deleted", str(slot), who, detail={"model": name})

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """As MLflow's; tags under ``elp.`` are the server's."""
        with self.refusing(caller()):
            checks.tag(tag.key, name, None)
        super().set_registered_model_tag(name, tag)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """As MLflow's; tags under ``elp.`` are the server's."""
        with self.refusing(caller()):
            checks.tag(key, name, None)
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
        """As MLflow's; a slot's version is a logged model, whose folder is frozen from now on."""
        given = list(tags or [])
        slot = Slot.of_model(name)
        with self.refusing(caller()):
            authorize(TRAIN, what="create a version", model=name)
            checks.new_version(name, source, given)
            if slot is None:
                return super().create_model_version(
                    name, source, run_id, given, run_link, description, local_model_path, model_id
                )
            with self.locked() as book:
                given += [ModelVersionTag(Tags.VERDICT, "not gated"), ModelVersionTag(Tags.STATUS, "candidate")]
                made = super().create_model_version(
                    name, source, run_id, given, run_link, description, local_model_path, model_id
                )
                number = checks.number(made.version)
                location = self.row(name, number).storage_location or ""
                checks.location(slot, number, location)
                freeze(book.session, served_path(location) or "", name, number, "adapter")
                return made

    def update_model_version(self, name: str, version: Any, description: str | None = None) -> Any:
        """As MLflow's; what the gate has described stays as it is."""
        slot = Slot.of_model(name)
        if slot is None:
            return super().update_model_version(name, version, description)
        # a verdict that came between look and write would lose its description
        with self.refusing(caller()), self.locked() as book:
            checks.description(book.session, slot, checks.number(version))
            return super().update_model_version(name, version, description)

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: Any
    ) -> Any:
        """As MLflow's; slots have no stages."""
        with self.refusing(caller()):
            checks.stage(name, checks.number(version))
        return super().transition_model_version_stage(name, version, stage, archive_existing_versions)

    def delete_model_version(self, name: str, version: Any) -> None:
        """As MLflow's; the champion stays, another version's end is recorded."""
        slot, who = Slot.of_model(name), caller()
        if slot is None:
            super().delete_model_version(name, version)
            return
        number = checks.number(version)
        with self.refusing(who), self.locked() as book:
            checks.no_champion(book.session, slot, number)
            bundle = facts.bundle_of(book.session, name, number)
            challenged = facts.alias(book.session, name, CHALLENGER) == number
            super().delete_model_version(name, number)
            detail = {"challenger": True} if challenged else {}
            book.append("deleted", str(slot), who, after=number, bundle=bundle, detail=detail)

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> None:
        """As MLflow's; tags under ``elp.`` are the server's."""
        with self.refusing(caller()):
            checks.tag(tag.key, name, checks.number(version))
        super().set_model_version_tag(name, version, tag)

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """As MLflow's; tags under ``elp.`` are the server's."""
        with self.refusing(caller()):
            checks.tag(key, name, checks.number(version))
        super().delete_model_version_tag(name, version, key)

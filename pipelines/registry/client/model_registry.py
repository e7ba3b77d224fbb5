"""The model registry: one registered MLflow model per slot, one version per adapter.

Every function takes the client that `connect(uri)` returns. A refusal of MLflow becomes `RegistryError`; an unreachable
server becomes `ServiceError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from elp_core.fail_points import durable_write
from pipelines.errors import RegistryError
from pipelines.registry.adapter_version import CHAMPION, AdapterVersion, Tags
from pipelines.registry.client.connection import answering, missing
from pipelines.registry.slot import Slot
from pipelines.registry.slot_description import slot_description

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 200


def get(client: MlflowClient, slot: Slot, version: int | str) -> AdapterVersion:
    """Return the version with this number, or the one behind this alias; raise RegistryError if there is none."""
    found = find(client, slot, version)
    if found is None:
        what = f"version {version}" if str(version).isdigit() else f"version with the alias {version}"
        raise RegistryError(f"{slot}: no {what} in the registry; list the versions with: elp versions list {slot}")
    return found


@answering
def find(client: MlflowClient, slot: Slot, version: int | str) -> AdapterVersion | None:
    """Return what `get` returns, or None if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        if str(version).isdigit():
            return _adapter_version(slot, client.get_model_version(slot.model_name, str(version)))
        return _adapter_version(slot, client.get_model_version_by_alias(slot.model_name, str(version)), str(version))
    except MlflowException as error:
        if missing(error):
            return None
        raise


def find_champion(client: MlflowClient, slot: Slot) -> AdapterVersion | None:
    """Return the slot's champion, or None."""
    return find(client, slot, CHAMPION)


def candidate(client: MlflowClient, slot: Slot) -> AdapterVersion | None:
    """Return the newest version after the champion that was not retired: the one that the gate judges by default."""
    present = find_champion(client, slot)
    waiting = [
        v for v in list_versions(client, slot) if v.status != "retired" and (not present or v.version > present.version)
    ]
    return waiting[0] if waiting else None


@answering
def find_by_key(client: MlflowClient, slot: Slot, key: str) -> AdapterVersion | None:
    """Return the version that was trained from exactly these inputs, or None; the oldest, if a race created two."""
    found = client.search_model_versions(f"name='{slot.model_name}' and tags.`{Tags.KEY}`='{key}'")
    # read again by its number: MLflow leaves the aliases of searched versions empty
    numbers = sorted(int(version.version) for version in found)
    return find(client, slot, numbers[0]) if numbers else None


@answering
def list_versions(client: MlflowClient, slot: Slot) -> list[AdapterVersion]:
    """Return all versions of a slot, newest first."""
    # MLflow leaves the aliases of searched versions empty: they come from the registered model
    aliases = _aliases(client, slot)
    rows = _every(client.search_model_versions, f"name='{slot.model_name}'")
    found = [_adapter_version(slot, row, *aliases.get(int(row.version), ())) for row in rows]
    return sorted(found, key=lambda version: -version.version)


@answering
def list_slots(client: MlflowClient) -> list[Slot]:
    """Return every slot that has a registered model, by name."""
    names = sorted(model.name for model in _every(client.search_registered_models))
    return [slot for name in names if (slot := Slot.of_model(name))]


@answering
def list_champions(client: MlflowClient) -> dict[Slot, int | None]:
    """Return the version of the champion of every slot, None for a slot without one; one request for 200 slots."""
    found: dict[Slot, int | None] = {}
    for model in _every(client.search_registered_models):
        if slot := Slot.of_model(model.name):
            version = model.aliases.get(CHAMPION)
            found[slot] = int(version) if version else None
    return found


@answering
def create_version(
    client: MlflowClient,
    slot: Slot,
    *,
    source: str,
    run_id: str,
    model_id: str,
    tags: Mapping[str, str],
    description: str,
) -> AdapterVersion:
    """Register a logged model as the slot's next version, with tags and description in one call.

    If another machine has registered the same training meanwhile, return its version.
    """
    from mlflow.exceptions import MlflowException

    site = {"elp.site": slot.site, "elp.task": slot.task}
    try:
        with durable_write("registered model"):
            client.create_registered_model(slot.model_name, tags=site, description=slot_description(slot))
    except MlflowException as error:
        # created without a look before: another worker may create it in between
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise
    try:
        with durable_write("version"):
            made = client.create_model_version(
                slot.model_name,
                source,
                run_id=run_id,
                model_id=model_id,
                tags=dict(tags),
                description=description,
                # MLflow would poll until the version is ready, but its model was complete before
                await_creation_for=0,
            )
    except MlflowException as error:
        known = find_by_key(client, slot, tags.get(Tags.KEY, ""))
        if known is None or getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise
        return known
    return _adapter_version(slot, made)


@answering
def delete_version(client: MlflowClient, version: AdapterVersion) -> None:
    """Delete a version from the registry; its run and its model stay."""
    with durable_write("deletion of version"):
        client.delete_model_version(version.slot.model_name, str(version.version))


def _every(search: Callable[..., Any], *wanted: str) -> Iterator[Any]:
    """Return all results of a search, page after page."""
    token: str | None = ""
    while token is not None:
        page = search(*wanted, max_results=_PAGE, page_token=token or None)
        yield from page
        token = page.token or None


def _aliases(client: MlflowClient, slot: Slot) -> dict[int, list[str]]:
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(slot.model_name)
    except MlflowException as error:
        if missing(error):
            return {}
        raise
    by_version: dict[int, list[str]] = {}
    for alias, version in model.aliases.items():
        by_version.setdefault(int(version), []).append(alias)
    return by_version


def _adapter_version(slot: Slot, version: Any, *aliases: str) -> AdapterVersion:
    return AdapterVersion(
        slot=slot,
        version=int(version.version),
        run_id=version.run_id or "",
        source=version.source,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        tags=dict(version.tags),
        aliases=tuple(sorted({*version.aliases, *aliases})),
        description=version.description or "",
    )

"""Switch a site to the backbone that its slots were judged on, and back: the registry first, then `elp.yaml`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from elp_core.errors import ElpError
from pipelines.errors import GateRefused, UsageError, WorkspaceError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.migration.backbone_settings import prepare_settings, require_no_other_change, write_backbones
from pipelines.registry.client.backbones import SiteSwitch, backbone_facts, switch_site_back, switch_site_to
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class SwitchedSite:
    """A site after a switch or the way back."""

    site: str
    switch: SiteSwitch | None
    """None if the registry had been switched already, and only `elp.yaml` was written."""
    commit: str
    """The commit that changed `elp.yaml`; empty if it names these backbones already."""
    backbones: tuple[str, ...] = ()
    """On which its slots are now, without those that were left out."""
    earlier: int | None = None
    """After the way back: the ledger entry of an earlier switch that is still in force."""


def switch_site(
    workspace: Workspace,
    backbone: str,
    site: str,
    without: Collection[Slot] = (),
    reason: str = "",
    *,
    again: bool = False,
) -> SwitchedSite:
    """Make the judged versions the champions of a site in one ledger entry, then name the backbone in `elp.yaml`.

    Raises GateRefused if a slot is not ready and not left out, WorkspaceError if `elp.yaml` has changes that are not
    committed, ServiceError if the Git server of the workspace does not answer: then nothing was changed. A
    WorkspaceError that names the ledger entry means that the champions have moved; the same call completes `elp.yaml`.
    """
    # the way back needs none of it, and the columns of datasets take longer to import than all of its work
    from pipelines.migration.migrate_site import migration_state

    backbone = workspace.backbone_name(backbone)
    found = migration_state(workspace, backbone, site)
    left = {str(slot) for slot in without}
    if other := sorted(left - {one.slot for one in found.slots}):
        raise UsageError(
            f"{other[0]} is no slot of {site} with a champion, so it cannot be left out; those are: "
            f"{', '.join(sorted(one.slot for one in found.slots))}"
        )
    if missing := [one for one in found.slots if one.slot in found.missing and one.slot not in left]:
        why = "; ".join(f"{one.slot} is {one.state}" + (f" ({one.detail})" if one.detail else "") for one in missing)
        raise GateRefused(
            f"{site} is not switched: {why}; migrate it: elp backbone migrate {backbone} {site}, or leave it out: "
            f"--without {missing[0].slot}"
        )
    versions = {slot: version for slot, version in found.ready.items() if str(slot) not in left}
    done = [one.slot for one in found.slots if one.state == "switched" or Slot.parse(one.slot) in versions]
    names = dict.fromkeys(done, backbone)
    prepare_settings(workspace, names)
    switch = None
    if versions or not any(one.state == "switched" for one in found.slots):
        uri, out = mlflow_uri(workspace), [Slot.parse(name) for name in sorted(left)]
        switch = switch_site_to(
            uri, site, backbone, found.fingerprint, versions, without=out, reason=reason, again=again
        )
    try:
        commit = write_backbones(workspace, names, f"{site}: {backbone}")
    except ElpError as error:
        moved = f"ledger entry {switch.seq}" if switch else "already"
        raise WorkspaceError(f"{site} is switched ({moved}), but {SETTINGS_FILE} is not complete: {error}") from error
    return SwitchedSite(site, switch, commit, (backbone,))


def switch_back(
    workspace: Workspace, site: str, reason: str = "", *, without: Collection[Slot] = (), further: bool = False
) -> SwitchedSite:
    """Bring the champions before the newest switch of a site back, then name their backbones in `elp.yaml`.

    Nothing is trained or loaded. A slot of `without`, and one that got another champion since the switch or was
    retired, stays as it is. A second time completes `elp.yaml` if that is needed, and changes nothing else; with
    `further`, the champions before the switch before come back. Changes of `elp.yaml` that are not committed do not
    keep the champions from coming back; the file is then left as it is, with a WorkspaceError that says so.
    """
    uri = mlflow_uri(workspace)
    switch = switch_site_back(uri, site, reason, without=without, further=further)
    moved = {move.slot for move in switch.moves}
    # not by MLflow's client, whose import takes longer than all the rest
    champions = backbone_facts(uri, switch.backbone, [site]).champions
    names = {one.slot: one.backbone for one in champions if one.slot in moved}
    try:
        require_no_other_change(workspace, names)
        commit = write_backbones(workspace, names, f"{site}: back")
    except ElpError as error:
        raise WorkspaceError(
            f"{site} has its former champions again (ledger entry {switch.seq}), but {SETTINGS_FILE} is not complete: "
            f"{error}; it has to name the backbone of {', '.join(sorted(names))}: the same command completes it"
        ) from error
    backbones = tuple(sorted(set(names.values())))
    return SwitchedSite(site, switch if switch.changed else None, commit, backbones, switch.earlier)

"""Switch a site to the backbone that its slots were judged on, and back: the registry first, then `elp.yaml`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from elp_core.files import write_whole
from pipelines.errors import GateRefused, WorkspaceError
from pipelines.local import git
from pipelines.local.addresses import mlflow_uri
from pipelines.local.settings import read_settings
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.local.yaml_splice import set_in_yaml
from pipelines.migration.migrate_site import migration_state, site_champions
from pipelines.registry.client.backbones import SiteSwitch, switch_site_back, switch_site_to
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class SwitchedSite:
    """A site after a switch or the way back."""

    site: str
    switch: SiteSwitch | None
    """None if the registry had been switched already, and only `elp.yaml` was written."""
    commit: str
    """The commit that changed `elp.yaml`; empty if it names these backbones already."""


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
    committed: then nothing was changed.
    """
    found = migration_state(workspace, backbone, site)
    left = {str(slot) for slot in without}
    if missing := [one for one in found.slots if one.slot in found.missing and one.slot not in left]:
        why = "; ".join(f"{one.slot} is {one.state}" + (f" ({one.detail})" if one.detail else "") for one in missing)
        raise GateRefused(
            f"{site} is not switched: {why}; migrate it: elp backbone migrate {backbone} {site}, or leave it out: "
            f"--without {missing[0].slot}"
        )
    versions = {slot: version for slot, version in found.ready.items() if str(slot) not in left}
    done = [one.slot for one in found.slots if one.state == "switched" or Slot.parse(one.slot) in versions]
    names = dict.fromkeys(done, backbone)
    require_no_other_change(workspace, names)
    switch = None
    if versions or not any(one.state == "switched" for one in found.slots):
        uri, out = mlflow_uri(workspace), [Slot.parse(name) for name in sorted(left)]
        switch = switch_site_to(
            uri, site, backbone, found.fingerprint, versions, without=out, reason=reason, again=again
        )
    return SwitchedSite(site, switch, write_backbones(workspace, names, f"{site}: {backbone}"))


def switch_back(workspace: Workspace, site: str, reason: str = "") -> SwitchedSite:
    """Bring the champions before the newest switch of a site back, then name their backbones in `elp.yaml`.

    Nothing is trained or loaded. Changes of `elp.yaml` that are not committed do not keep the champions from coming
    back; the file is then left as it is, with a WorkspaceError that says so.
    """
    uri = mlflow_uri(workspace)
    switch = switch_site_back(uri, site, reason)
    moved = {move.slot for move in switch.moves}
    names = {str(one.slot): one.backbone for one in site_champions(uri, site) if str(one.slot) in moved}
    try:
        require_no_other_change(workspace, names)
    except WorkspaceError as error:
        raise WorkspaceError(
            f"{site} has its former champions again (ledger entry {switch.seq}), but {SETTINGS_FILE} was not changed: "
            f"{error}; then set the backbone of {', '.join(sorted(names))} in it"
        ) from error
    return SwitchedSite(site, switch, write_backbones(workspace, names, f"{site}: back"))


def write_backbones(workspace: Workspace, names: Mapping[str, str], subject: str) -> str:
    """Name the backbones of slots in `elp.yaml` and commit it; return the commit, empty if it says so already.

    Raises WorkspaceError if the file is written in a way that cannot be changed safely.
    """
    before = _text(workspace)
    after = _with_backbones(before, names)
    if after != before:
        write_whole(workspace.root / SETTINGS_FILE, after)
    if _same(after, git.show(workspace.root, "HEAD", Path(SETTINGS_FILE)) or ""):
        return ""
    return git.commit(workspace.root, [Path(SETTINGS_FILE)], f"Set the backbone of {subject}")


def require_no_other_change(workspace: Workspace, names: Mapping[str, str]) -> None:
    """Raise WorkspaceError if `elp.yaml` cannot be changed, or has uncommitted changes.

    Those of the same switch, which was killed before its commit, are none.
    """
    present = _text(workspace)
    _with_backbones(present, names)
    try:
        git.require_clean(workspace.root, Path(SETTINGS_FILE))
    except WorkspaceError:
        committed = git.show(workspace.root, "HEAD", Path(SETTINGS_FILE))
        if committed is None or not _same(_with_backbones(committed, names), present):
            raise


def _text(workspace: Workspace) -> str:
    # not as text: that would change the ends of lines
    return (workspace.root / SETTINGS_FILE).read_bytes().decode("utf-8")


def _same(one: str, other: str) -> bool:
    """Return whether two texts differ at most as Git prints them: in ends of lines, and empty lines at the end."""
    return one.rstrip().splitlines() == other.rstrip().splitlines()


def _with_backbones(text: str, names: Mapping[str, str]) -> str:
    """Return the text of `elp.yaml` with the backbones of slots; raise WorkspaceError if that is not safe."""
    settings = read_settings(text)
    changes = [
        (("slots", slot, "backbone"), name)
        for slot, name in sorted(names.items())
        if settings.backbone_of(Slot.parse(slot)) != name
    ]
    changed = set_in_yaml(text, changes, SETTINGS_FILE) if changes else text
    read_settings(changed)
    return changed

"""`elp backbone plan | migrate | switch | back`: the change of a backbone, site by site."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import SLOT, on_workspace
from pipelines.cli.output import emit, progress, table, wants_json
from pipelines.cli.progress_bar import Display, long_work
from pipelines.errors import ServiceError
from pipelines.local.addresses import prefect_api
from pipelines.local.workspace import Workspace
from pipelines.number_text import count, duration, size_text
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.migration.migrate_site import SiteMigration, SlotMove, Work
    from pipelines.migration.migration_plan import MigrationPlan
    from pipelines.migration.switch_site import SwitchedSite

_backbone = click.argument("new", metavar="BACKBONE")
_site = click.argument("site", metavar="SITE")
_reason = click.option("--reason", default="", metavar="TEXT", help="The reason, for the record.")


@click.command(name="plan")
@_backbone
@click.option("--site", "sites", multiple=True, metavar="SITE", help="Only this site; may be repeated.")
@on_workspace
def plan_verb(workspace: Workspace, new: str, sites: tuple[str, ...]) -> None:
    """Show what a change to another backbone needs.

    Trainings and their measured seconds, disk, enrolled voices, boxes, and what cannot be trained. BACKBONE is a
    checkpoint as in elp.yaml, or the fingerprint of one that versions were trained on. Nothing is loaded or changed.
    """
    from pipelines.migration.migration_plan import plan_migration

    emit(plan_migration(workspace, new, sites), _planned)


def _planned(plan: MigrationPlan) -> str:
    able = [one for one in plan.slots if not one.obstacles]
    estimate = f": {duration(plan.seconds)} estimated" if len(able) > plan.unknown else ""
    if plan.unknown:
        estimate += f", {plan.unknown} of them without an estimate of the time"
    summary = (
        f"{count(len(plan.slots), 'champion')} of {count(plan.versions, 'version')} would change to {plan.backbone}, "
        f"{len(plan.done)} are on it already; {count(len(able), 'training')}{estimate}; "
        f"{size_text(sum(one.bytes for one in able))} of bundles"
    )
    rows = [
        (
            one.slot,
            one.version,
            one.backbone,
            one.dataset,
            duration(one.measured) if one.measured else None,
            duration(one.seconds) if one.seconds else "unknown",
            one.voices or None,
            "; ".join(one.obstacles) or "yes",
        )
        for one in plan.slots
    ]
    headers = ("slot", "champion", "backbone", "data", "trained in", "would take", "voices", "can be trained")
    boxes = [
        f"{site}: before the next pull, the weights of {plan.backbone} have to be on {', '.join(names)}"
        for site, names in plan.boxes.items()
    ]
    notes = [f"{one.slot}: {note}" for one in plan.slots for note in one.notes]
    shown = table(headers, rows, f"no champion would change to {plan.backbone}")
    return "\n\n".join(filter(None, (summary, shown, "\n".join((*plan.warnings, *notes, *boxes)))))


@click.command(name="migrate")
@_backbone
@click.argument("sites", metavar="SITE...", nargs=-1, required=True)
@click.option("--status", is_flag=True, help="Only show how far each slot is.")
@click.option("--local", is_flag=True, help="Train in this process, without Prefect.")
@click.option("--despite-licence", is_flag=True, help="Also if a champion on BACKBONE takes an override by two people.")
@_reason
@on_workspace
def site_migrate_verb(
    workspace: Workspace,
    new: str,
    sites: tuple[str, ...],
    status: bool,
    local: bool,
    despite_licence: bool,
    reason: str,
) -> None:
    """Train and judge the slots of sites on another backbone.

    Each slot gets a version on BACKBONE from the champion's dataset version and configuration, and is judged against
    the champion, each on its own backbone. The champions stay until elp backbone switch. The trainings run on workers;
    with --local, or if Prefect is not up, in this process. Run the command again to continue after an interruption.
    """
    from pipelines.migration.migrate_site import migrate_sites, migration_state

    if status:
        emit([migration_state(workspace, new, site) for site in sites], _migrated)
        return
    with long_work(quiet=wants_json()) as display:
        work = None if local else _on_workers(workspace, display)
        found = migrate_sites(
            workspace, new, sites, reason=reason, despite_licence=despite_licence, log=display.log, work=work
        )
    emit(found, _migrated)


def _on_workers(workspace: Workspace, display: Display) -> Work | None:
    """Return what trains on workers; None if Prefect is not up."""
    from pipelines.orchestration.migrate_runs import migrate_in_runs

    try:
        prefect_api(workspace)
    except ServiceError as error:
        progress(f"the trainings run in this process: {error}")
        return None

    def work(moves: Sequence[SlotMove], log: Callable[[str], None]) -> Mapping[str, str]:
        try:
            return migrate_in_runs(workspace, moves, log, display.show)
        except KeyboardInterrupt:
            progress("no longer watching; the runs continue: elp runs")
            raise

    return work


@click.command(name="switch")
@_backbone
@_site
@click.option("--without", multiple=True, type=SLOT, metavar="SITE/TASK", help="Leave this slot on its backbone.")
@click.option("--again", is_flag=True, help="Also versions from which the site was brought back.")
@_reason
@on_workspace
def switch_verb(workspace: Workspace, new: str, site: str, without: tuple[Slot, ...], again: bool, reason: str) -> None:
    """Make the judged versions of a site its champions, all at once.

    One entry of the ledger moves all of them, or none. Then elp.yaml names BACKBONE for these slots, in a commit.
    """
    from pipelines.migration.switch_site import switch_site

    emit(switch_site(workspace, new, site, without, reason, again=again), _switched)


@click.command(name="back")
@_site
@click.option("--without", multiple=True, type=SLOT, metavar="SITE/TASK", help="Leave this slot on its backbone.")
@click.option("--further", is_flag=True, help="If the site is back already: go back from the switch before, too.")
@_reason
@on_workspace
def back_verb(workspace: Workspace, site: str, without: tuple[Slot, ...], further: bool, reason: str) -> None:
    """Bring the champions before a site's newest switch back.

    One entry of the ledger moves all of them, or none; nothing is trained. elp.yaml names their backbones again. Run
    the command again if it was interrupted.
    """
    from pipelines.migration.switch_site import switch_back

    emit(switch_back(workspace, site, reason, without=without, further=further), _switched)


def _migrated(found: list[SiteMigration]) -> str:
    rows = [(one.slot, one.champion, one.version, one.state, one.detail) for site in found for one in site.slots]
    ends = [
        f"{site.site}: switch it with: elp backbone switch {site.backbone} {site.site}"
        if site.ready and not site.missing
        else f"{site.site}: {count(len(site.missing), 'slot')} not ready"
        if site.missing
        else f"{site.site} is switched"
        for site in found
    ]
    return "\n\n".join((table(("slot", "champion", "new version", "state", "detail"), rows), "\n".join(ends)))


def _switched(done: SwitchedSite) -> str:
    commit = f"; elp.yaml: {done.commit[:12]}" if done.commit else "; elp.yaml is as it was"
    if done.earlier is not None:
        commit += (
            f"\nthe switch of ledger entry {done.earlier} is still in force; to go back from it: elp backbone back "
            f"{done.site} --further"
        )
    if done.switch is None:
        return f"{done.site} is on {' and '.join(done.backbones)} already{commit}"
    rows = [(move.slot, move.before, move.after) for move in done.switch.moves]
    commit += "".join(f"\n{sentence}; it stays as it is" for sentence in done.switch.stayed)
    return f"{table(('slot', 'was', 'is'), rows)}\n\nledger entry {done.switch.seq}{commit}"

"""The gate across two backbones: each version is judged on its own, if the ledger states the migration of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import GateRefused
from pipelines.gating.gate_case import GateCase
from pipelines.local.slot_backbone import find_backbone
from pipelines.registry.client.backbones import stated_migrations
from pipelines.registry.verdict import GateCheck

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone


def champion_backbone(client: MlflowClient, case: GateCase, backbone: Backbone) -> Backbone:
    """Return the backbone of the champion: the challenger's, or another one that the site migrates from.

    Raises GateRefused if the champion is on another one and nothing states the migration.
    """
    champion = case.champion
    if champion is None or champion.fingerprint in ("", backbone.fingerprint):
        return backbone
    before, after = champion.fingerprint, backbone.fingerprint
    stated = any(
        before in entry.detail.get("from", ()) and entry.detail.get("to") == after
        for entry in stated_migrations(client.tracking_uri, case.slot.site)
    )
    if not stated:
        site = case.slot.site
        raise GateRefused(
            f"{case.challenger.name} is on the backbone {backbone.id} ({after[:19]}…), the champion "
            f"v{champion.version} on {champion.backbone} ({before[:19]}…), and nothing states that {site} changes: "
            f"elp backbone migrate {backbone.id} {site}"
        )
    return find_backbone(case.workspace, case.slot, before, champion.backbone, as_named=True)


def backbone_check(backbone: Backbone, former: Backbone) -> GateCheck:
    """Return the check on the backbones of both systems."""
    if backbone is former:
        return GateCheck("same backbone", True, f"both systems ran on {backbone.id}, {backbone.fingerprint}")
    return GateCheck(
        "backbone migration",
        True,
        f"the challenger ran on {backbone.id}, {backbone.fingerprint}, the champion on {former.id}, "
        f"{former.fingerprint}; the ledger states the migration",
    )

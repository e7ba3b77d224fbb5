"""With a login on, the workers' account trains, registers and gates as before; promoting is another's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import GateRefused
from pipelines.gating.gate import gate_version
from pipelines.local import accounts
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client.connection import Account, connect
from pipelines.registry.client.server_api import promote_version
from pipelines.registry.policies import policy_digest
from pipelines.training.train import train_adapters
from tests.support.login_server import PASSWORD, LoginServer
from tests.support.workspaces import Site

pytestmark = pytest.mark.integration


def test_retraining_goes_on_and_a_promoter_promotes(
    login: LoginServer, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    accounts.log_in(login.workspace)
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == accounts.SERVICE
    here = {"mlflow_uri": login.uri, "cache": tmp_path / "cache", "keys": login.guarded.keys}
    gate = {"limit": 1.5, "safety": {"max_slowdown": None}}
    easy = replace(site.settings, slots={"plant-a/asr": {"gate": gate}})
    limits = policy_digest(easy.for_slot(site.asr).gate)
    train_adapters(site.repository, {site.asr: "data/plant-a/asr/v1"}, easy, **here)
    assert gate_version(site.repository, site.asr, easy, **here).verdict.outcome == "passed"
    with pytest.raises(
        GateRefused, match="elp-service has the role trainer, and this needs promoter; log in as a user"
    ):
        promote_version(site.asr, policy=limits, mlflow_uri=login.uri)
    os.environ.update(Account("anna", PASSWORD).environment())
    assert promote_version(site.asr, policy=limits, mlflow_uri=login.uri, by="mallory").by == "anna"
    champion = registry.find_champion(connect(login.uri), site.asr)
    assert champion is not None
    assert champion.tags["elp.promoted_by"] == "anna"

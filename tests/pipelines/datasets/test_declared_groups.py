"""Groups that a slot declares: what goes to quarantine, what is reported as new, and what the Data Docs show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.errors import ConfigError
from pipelines.datasets.delivery_plan import plan_delivery
from pipelines.datasets.expectations import import_great_expectations
from pipelines.datasets.group_rules import undeclared_groups
from pipelines.datasets.ingest import add_delivery
from pipelines.local.initialise import init_workspace
from pipelines.local.settings import read_settings
from pipelines.registry.policies import DataPolicy
from pipelines.registry.slot import Slot
from pipelines.server.pages.change_words import change_words
from pipelines.texts.message_catalogue import texts
from tests.support.deliveries import write_delivery

SLOT = Slot("plant-a", "asr")
KANSAI, KANTO, TYPO = ({"group": {"dialect": dialect}} for dialect in ("kansai", "kanto", "<kansia>"))
DECLARED = "slots: {plant-a/asr: {data: {groups: {Dialect: [kansai, kanto], gender: []}}}}"


@pytest.mark.integration
def test_a_misspelt_group_is_new_or_in_quarantine_and_the_docs_show_the_coverage(tmp_path: Path) -> None:
    # once, and not in a process for each delivery
    import_great_expectations()
    workspace = init_workspace(tmp_path / "workspace")
    first = add_delivery(workspace, SLOT, write_delivery(tmp_path / "a", anna_0=KANSAI, bert_0=KANTO, carla_0=KANSAI))
    assert first.deliveries[-1].new_groups == ()
    second = write_delivery(tmp_path / "b", seed=1, anna_0=TYPO, anna_1=KANTO, doris_0={"group": "gender=f"})

    plan = plan_delivery(workspace, SLOT, second)
    assert plan.warnings == ("groups that the slot has no clip of yet: dialect=<kansia>, gender=f",)
    declared = replace(workspace, settings=read_settings(DECLARED))
    plan = plan_delivery(declared, SLOT, second)
    assert plan.details == {
        "unknown_group": "audio/anna_0.wav: group has dialect=<kansia>, which data.groups does not declare"
    }
    assert plan.warnings == ("groups that the slot has no clip of yet: gender=f",)

    stored = add_delivery(workspace, SLOT, second)
    assert stored.deliveries[-1].new_groups == ("dialect=<kansia>", "gender=f")
    assert change_words(texts("en"), stored.deliveries[-1]).endswith(", new groups: dialect=<kansia>, gender=f")
    # Great Expectations keeps the page of the newest delivery
    (page,) = (workspace.state / "data-docs").rglob("validations/**/*.html")
    shown = r"clips with a dialect: &lt;kansia&gt; 1 \(new in this slot\), kanto 1; without 10\s.*?≈0\.16"
    assert re.search(shown, page.read_text(encoding="utf-8"), re.DOTALL)


def test_a_declaration_is_compared_in_the_normal_form_and_checked() -> None:
    assert undeclared_groups(["age=60; first_language=日本語"], {"First Language": ["日本語 "], "AGE": ()}) == [None]
    assert undeclared_groups(["dialect=kansai"], {}) == [None]
    with pytest.raises(ConfigError, match=r"key '!'.*\n.*an empty value of 'dialect'"):
        DataPolicy(groups={"!": (), "dialect": ("",)})
    # a delivery of a slot without a declaration keeps its key
    assert "groups" not in DataPolicy().key_values()
    assert DataPolicy(groups={"dialect": ("kansai",)}).key_values()["groups"] == {"dialect": ("kansai",)}

from __future__ import annotations

import pytest

from pipelines.registry.slot import Slot
from pipelines.server.stores.write_checks import claims_slot, own_alias


@pytest.mark.parametrize(
    "name",
    [
        "elp.plant-a.asr",
        "ELP.plant-a.asr",
        "elp.",
        " elp.plant-a.asr",
        "e\u200blp.plant-a.asr",
        "ｅｌｐ.plant-a.asr",
        "élp.plant-a.asr",
        "\u0435lp.plant-a.asr",
        "e1p.plant-a.asr",
        "eIp.plant-a.asr",
    ],
    ids=ascii,
)
def test_a_name_that_reads_like_a_slot_claims_to_be_one(name: str) -> None:
    assert claims_slot(name)
    assert (Slot.of_model(name) == Slot("plant-a", "asr")) == (name == "elp.plant-a.asr")


@pytest.mark.parametrize(
    "name", ["help.desk.asr", "elp", "elp-foundry", "el.p", "abc.plant-a.asr", "модель", "elephant"]
)
def test_other_names_are_free(name: str) -> None:
    assert not claims_slot(name)
    assert Slot.of_model(name) is None


@pytest.mark.parametrize(
    "alias", ["champion", "Champion", "cham\u0440ion", "ｃhampion", "champi0n", "cha\u00admpion"], ids=ascii
)
def test_an_alias_that_reads_like_champion_is_the_servers(alias: str) -> None:
    assert own_alias(alias)


@pytest.mark.parametrize("alias", ["champions", "staging", "winner", "ex-champion"])
def test_other_aliases_are_free(alias: str) -> None:
    assert not own_alias(alias)


@pytest.mark.parametrize(("key", "own"), [("elp.verdict", True), ("ELP.x", True), ("elp", False), ("note.elp.", False)])
def test_tags_under_elp_are_the_servers(key: str, own: bool) -> None:
    assert claims_slot(key) == own

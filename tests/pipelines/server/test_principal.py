from __future__ import annotations

import pytest

from pipelines.server.auth import principal
from pipelines.server.auth.principal import Caller, has_right


@pytest.mark.parametrize("other", ["Anna.B", "ANNA-B", "anna_b", "ａｎｎａ.b", "Ánna.b", " anna.b "])
def test_one_person_under_another_spelling_is_one_person(other: str) -> None:
    assert principal.same_person("anna.b", other)
    assert not principal.same_person("anna.b", "berta")


@pytest.mark.parametrize(("name", "plain"), [("anna", True), ("Ánna", True), ("аnna", False), ("...", False)])
def test_a_name_with_letters_that_only_look_latin_is_not_plain(name: str, plain: bool) -> None:
    assert principal.is_plain(name) == plain


def test_a_claimed_name_counts_only_without_a_login() -> None:
    with principal.acting_as(Caller("anna", True, "")):
        assert principal.current_caller("mallory").name == "anna"
    assert principal.current_caller("anna") == Caller("anna", False, "")
    assert principal.current_caller().name == "unknown"


def test_a_request_that_bypassed_the_login_has_no_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_AUTH", "1")
    assert not has_right(principal.current_caller("anna"), "read")
    with principal.acting_as(principal.SERVER):
        assert has_right(principal.current_caller(), "promote")


def test_acting_ends_with_its_block() -> None:
    with principal.acting_as(Caller("anna", True, "")), principal.acting_as(principal.SERVER):
        assert principal.current_caller().name == "server"
    assert principal.current_caller().name == "unknown"

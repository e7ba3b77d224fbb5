from __future__ import annotations

import pytest

from pipelines.server.auth import principal as who
from pipelines.server.auth.roles import Actor, may


@pytest.mark.parametrize("other", ["Anna.B", "ANNA-B", "anna_b", "ａｎｎａ.b", "Ánna.b", " anna.b "])
def test_one_person_under_another_spelling_is_one_person(other: str) -> None:
    assert who.same_person("anna.b", other)
    assert not who.same_person("anna.b", "berta")


@pytest.mark.parametrize(("name", "plain"), [("anna", True), ("Ánna", True), ("аnna", False), ("...", False)])
def test_a_name_with_letters_that_only_look_latin_is_not_plain(name: str, plain: bool) -> None:
    assert who.is_plain(name) == plain


def test_a_claimed_name_counts_only_where_nobody_logged_in() -> None:
    with who.acting(Actor("anna", login=True)):
        assert who.current("mallory").name == "anna"
    assert who.current("anna") == Actor("anna", login=False)
    assert who.current().name == "unknown"


def test_with_a_login_on_whoever_came_in_without_one_has_no_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_AUTH", "1")
    assert not may(who.current("anna"), "read")
    with who.as_server():
        assert may(who.current(), "promote")


def test_acting_ends_with_its_block() -> None:
    with who.acting(Actor("anna", login=True)), who.as_server():
        assert who.current().name == "server"
    assert who.current().name == "unknown"

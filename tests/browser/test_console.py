from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit, browser

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    """One browser for all tests; nothing may leave the machine, and no script may fail."""
    with browser() as opened:
        yield opened
        assert opened.left_the_machine() == []
        assert opened.errors == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """The browser's page, which says yes to every question."""
    visit.page.remove_listener("dialog", _accept) if visit.page.listeners("dialog") else None
    return visit.page


def _accept(dialog: object) -> None:
    dialog.accept()  # type: ignore[attr-defined]

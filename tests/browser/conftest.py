"""What the browser looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import Visit, browser
from tests.support.guarded_server import GuardedServer, guarded_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """The guarded command line, with slots of one module."""
    with guarded_server(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    """A browser; nothing may leave the machine, and no script may fail."""
    with browser(1280, 860) as opened:
        yield opened
        assert opened.left_the_machine() == []
        assert opened.errors == []

"""The folders that the steps' tests work in."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that no other test has seen."""
    return tmp_path / "cache"

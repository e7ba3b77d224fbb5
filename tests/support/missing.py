"""What a test does if the machine lacks a component: skip visibly, or fail if everything is required."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRE_ALL = "ELP_TESTS_REQUIRE_ALL"
"""Environment variable that CI sets after it has installed every component."""


def skip_without(component: str) -> NoReturn:
    """Skip the test and name what is missing; fail instead if `REQUIRE_ALL` is set."""
    if os.environ.get(REQUIRE_ALL):
        pytest.fail(f"{component} ({REQUIRE_ALL} is set)")
    pytest.skip(component)

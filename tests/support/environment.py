"""The environment that goes with a fixture which outlives one test.

Fixtures of a module or a session are set up and torn down in an order that the tests decide, so none of them may leave
its own mark in the process's environment: what one restores, another still needs. Each says here what goes with it, and
whatever uses it, test or fixture, finds just that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import pytest

NAMES = ("ELP_KEYS", "ELP_LEDGER_CHECKPOINT")
"""Unset where nothing that is used says otherwise."""
_LASTING: dict[str, Mapping[str, str]] = {}


def lasting(fixture: str, **values: str) -> None:
    """From now on, `values` are set for whatever uses the fixture of this name."""
    _LASTING[fixture] = values


@contextlib.contextmanager
def environment_of(fixtures: Iterable[str]) -> Iterator[None]:
    """The environment that goes with these fixtures, while the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.delenv(name, raising=False)
        for fixture in fixtures:
            for name, value in _LASTING.get(fixture, {}).items():
                patch.setenv(name, value)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Make a fixture that outlives a test in the environment of those it uses."""
    if fixturedef.scope == "function":
        return (yield)
    with environment_of(request.fixturenames):
        return (yield)

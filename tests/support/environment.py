"""The environment that goes with a fixture which outlives one test.

Fixtures of a module or a session are set up and torn down in an order that the tests decide, so none of them may leave
its own mark in the process's environment: what one restores, another still needs. Each says here what goes with it, and
whatever uses it, test or fixture, finds just that. The definition of the fixture counts: another fixture of the same
name has its own environment, or none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import pytest

NAMES = ("ELP_KEYS", "ELP_LEDGER_CHECKPOINT")
"""Unset where nothing that is used says otherwise."""
_LASTING: dict[Callable[..., Any], Mapping[str, str]] = {}
"""The function that defines a fixture -> what goes with it."""
_MAKING: list[pytest.FixtureDef[Any]] = []
"""The fixtures that are being made; the last one is needed by the one before it."""


def lasting(**values: str) -> None:
    """From now on, set `values` for whatever uses the fixture that calls this while it is made."""
    assert _MAKING[-1].scope != "function", "use monkeypatch"
    _LASTING[_MAKING[-1].func] = values


@contextlib.contextmanager
def environment_of(request: pytest.FixtureRequest) -> Iterator[None]:
    """The environment that goes with the fixtures of a request, while the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.delenv(name, raising=False)
        for definition in _definitions(request):
            for name, value in _LASTING.get(definition.func, {}).items():
                patch.setenv(name, value)
        yield


def _definitions(request: pytest.FixtureRequest) -> Iterator[pytest.FixtureDef[Any]]:
    for name in request.fixturenames:
        # the last definition is used; what it overrides is used only if it asks for it
        for definition in reversed(request._arg2fixturedefs.get(name, ())):
            yield definition
            if name not in definition.argnames:
                break


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Make a fixture that outlives a test in the environment of those it uses."""
    _MAKING.append(fixturedef)
    try:
        if fixturedef.scope == "function":
            return (yield)
        with environment_of(request):
            return (yield)
    finally:
        _MAKING.pop()

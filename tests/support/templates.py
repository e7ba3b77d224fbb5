"""Compile each Jinja template once in a test process.

Great Expectations makes a new environment for every part of a page: half of what Data Docs cost is the compilation of
the same fifty templates for each delivery.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def compiled_once() -> Iterator[None]:
    """Keep what `Environment.compile` returns; everything that its result depends on is in the key."""
    from jinja2 import Environment

    compile_template, kept = Environment.compile, dict[Any, Any]()

    def compile_once(self: Environment, source: Any, name: Any = None, filename: Any = None, **more: Any) -> Any:
        syntax = (self.block_start_string, self.variable_start_string, self.comment_start_string, self.trim_blocks)
        names = frozenset(self.filters), frozenset(self.tests), tuple(sorted(self.extensions))
        # a function by the template's name, which is a new one in each environment
        escapes = self.autoescape(name) if callable(self.autoescape) else self.autoescape
        key = (type(self), escapes, self.lstrip_blocks, *syntax, *names, source, name, filename, *more.items())
        if key not in kept:
            kept[key] = compile_template(self, source, name, filename, **more)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compile_once)
        yield

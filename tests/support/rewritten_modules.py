"""The bytecode of the test modules, which pytest makes with rewritten asserts, divided among the processes of a run.

All of them collect the same modules at the same time, and each would rewrite them all: 15 s of processor time in a new
checkout. Checked with pytest 9.2.0, whose own functions do the work; without them each process does it as before.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def rewrite_share(config: pytest.Config) -> None:
    """Write the part of this process, if it is one of several that collect all tests."""
    given = getattr(config, "workerinput", None)
    if not given or sys.dont_write_bytecode or [Path(one).resolve() for one in config.args] != [TESTS]:
        return
    number, count = int(given["workerid"].removeprefix("gw")), int(given["workercount"])
    try:
        from _pytest.assertion.rewrite import PYC_TAIL, _read_pyc, _rewrite_test, _write_pyc, get_cache_dir
        from _pytest.assertion.rewrite import assertstate_key as key
    except ImportError:
        return
    for path in sorted(TESTS.rglob("test_*.py"))[number::count]:
        kept = get_cache_dir(path) / f"{path.stem}{PYC_TAIL}"
        if _read_pyc(path, kept) is None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            source, code = _rewrite_test(path, config)
            # as a whole: another process may read it
            _write_pyc(config.stash[key], code, source, kept)

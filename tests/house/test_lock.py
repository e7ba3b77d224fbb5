"""The lock can be installed with the oldest Python that the project supports, as Debian 12 ships it."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OLDEST = "3.11.2"  # Debian 12; some packages start at a later patch release


def test_no_locked_package_needs_a_later_patch_release_of_python() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    locked = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    wanted = {
        one.name: one.metadata["Requires-Python"]
        for one in distributions()
        if canonicalize_name(one.name) in locked and one.metadata["Requires-Python"]
    }
    assert len(wanted) > len(locked) / 2, "the environment is not that of the lock"
    assert {name: need for name, need in wanted.items() if not SpecifierSet(need).contains(OLDEST)} == {}

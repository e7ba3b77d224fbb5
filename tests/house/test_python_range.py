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
    needs = {one.metadata["Name"]: one.metadata.get("Requires-Python") for one in distributions()}
    wanted = {name: need for name, need in needs.items() if need and canonicalize_name(name) in locked}
    assert len(wanted) > len(locked) / 2, "the environment is not that of the lock"
    assert {name: need for name, need in wanted.items() if not SpecifierSet(need).contains(OLDEST)} == {}

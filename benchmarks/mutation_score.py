"""Run the mutation tests of the pure core functions and write the scores to docs/reference/mutation.md.

mutmut changes one expression at a time and runs the unit tests that cover it; a mutant is killed if a test fails. The
modules and their tests are in `[tool.mutmut]` of pyproject.toml. A full run takes about an hour on two cores; results
are kept in mutants/, so that the next run only tests changed functions.

Usage: python benchmarks/mutation_score.py [NAME …]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "mutation.md"
SURVIVED, UNCOVERED = 0, (5, 33)
"""Exit codes of pytest and mutmut: all tests passed; no test covers the function."""
PARTS = {"pipelines/training/provenance.py": "x_training_key", "pipelines/datasets/measuring.py": "x_split_of"}
"""Function to mutate in modules whose other functions are not pure."""
HEAD = """# Mutation score

`make mutants` changes the core functions one expression at a time (mutmut) and runs their unit tests. A mutant is
*killed* if a test fails; `survived` includes functions that no test covers. Texts of errors (`raise` statements) and
properties are not mutated.

| module | mutants | killed | survived | score |
|---|---|---|---|---|
"""
NOTE = """
Some survivors are equivalent: no input distinguishes them from the original. Examples are `zip(…, strict=False)` for
sequences of equal length, a rounding at 13 instead of 12 digits, and a larger chunk of resamples, which changes only
memory.
"""


def main(names: list[str]) -> None:
    """Run mutmut on the mutants whose names match (all of them without names), then write the page."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    names = names or patterns()
    jobs = str(len(os.sched_getaffinity(0)))
    subprocess.run(
        [sys.executable, "-m", "mutmut", "run", "--max-children", jobs, *names], cwd=ROOT, env=environment, check=True
    )
    PAGE.write_text(HEAD + "".join(rows()) + NOTE, encoding="utf-8")


def patterns() -> list[str]:
    """Return the names of the mutants of all modules, with one function of those in `PARTS`."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    modules = {path: path.removesuffix(".py").replace("/", ".") for path in config["only_mutate"]}
    return [f"{module}.{PARTS.get(path, '')}*" for path, module in modules.items()]


def rows() -> list[str]:
    """Return one row for each module that was tested completely, and the total."""
    total: Counter[str] = Counter()
    lines = []
    for path in sorted((ROOT / "mutants").rglob("*.meta")):
        name = path.relative_to(ROOT / "mutants").as_posix().removesuffix(".meta")
        part = PARTS.get(name, "")
        results = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        codes = [code for key, code in results.items() if f".{part}" in key]
        known = [code for code in codes if code is not None]
        if known and len(known) == len(codes):
            survived = sum(code == SURVIVED or code in UNCOVERED for code in known)
            total += Counter(mutants=len(known), survived=survived)
            lines.append(row(f"`{name}`", len(known), survived))
    return [*lines, row("total", total["mutants"], total["survived"])]


def row(name: str, mutants: int, survived: int) -> str:
    """Return one row of the table."""
    return (
        f"| {name} | {mutants} | {mutants - survived} | {survived} | {(mutants - survived) / max(1, mutants):.1%} |\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])

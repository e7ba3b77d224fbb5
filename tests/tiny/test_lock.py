"""`dvc.lock` names the code of the recipe as it is: else `dvc repro` would train the embedded backbone again."""

import hashlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_lock_has_the_code_of_every_stage(stage: str) -> None:
    locked = {entry["path"]: entry["md5"] for entry in STAGES[stage]["deps"] if entry["path"].endswith(".py")}
    present = {path: hashlib.md5((ROOT / path).read_bytes(), usedforsecurity=False).hexdigest() for path in locked}
    assert locked
    assert present == locked, (
        f"the code of the stage {stage} changed: run `dvc repro`, or `dvc commit` if it makes the same files"
    )

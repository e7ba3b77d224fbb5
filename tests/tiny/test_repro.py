"""`dvc repro` of the whole recipe in small: real packages, made here; real stages; a network of 20,000 weights."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from elp_core.config import to_dict
from tiny.packages import PACKAGES
from tiny.settings import Recipe

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]

FILES = {
    "asterisk-prompt-es-co": "usr/share/asterisk/sounds/es/{}.gsm",
    "asterisk-prompt-fr-armelle": "usr/share/asterisk/sounds/fr/{}.gsm",
    "klettres-data": "usr/share/klettres/en/alpha/{}.ogg",
    "fillets-ng-data-cs": "usr/share/games/fillets-ng/sound/cave/cs/jes-m-{}.ogg",
    "fillets-ng-data-nl": "usr/share/games/fillets-ng/sound/cave/nl/jes-v-{}.ogg",
}
CONTROL = "Package: {}\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\nDescription: sounds\n"


def _tone(rng: np.random.Generator) -> np.ndarray:
    return 0.3 * np.sin(np.arange(8000) * rng.uniform(0.05, 0.9)) + 0.02 * rng.standard_normal(8000)


def _packages(folder: Path, rng: np.random.Generator) -> Path:
    """Every package of the recipe, with three sounds each, in the containers that the real ones have."""
    for package in PACKAGES:
        tree = folder / "trees" / package.name
        pattern = FILES.get(package.name, "usr/share/asterisk/sounds/" + package.name[-8:-4] + "/{}.wav")
        for number in range(3):
            path = tree / pattern.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".gsm":
                soundfile.write(path, _tone(rng), 8000, format="RAW", subtype="GSM610")
            else:
                soundfile.write(path, _tone(rng), 16_000)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(CONTROL.format(package.name))
        built = folder / f"{package.name}_1.0_all.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, built], check=True, capture_output=True)
    return folder


def _digits(folder: Path, rng: np.random.Generator) -> Path:
    folder.mkdir()
    for digit in (1, 2):
        for speaker in ("anna", "otto"):
            for take in range(4, 14):
                soundfile.write(folder / f"{digit}_{speaker}_{take}.wav", _tone(rng), 8000)
    return folder


def _checkout(recipe: Recipe, root: Path) -> None:
    """A repository with the recipe's own files and small parameters."""
    made = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for name in ("elp_core", "pipelines", "data/tiny"):  # a stage imports them from the current folder
        shutil.copytree(ROOT / name, root / name, ignore=made)
    shutil.copy(ROOT / "dvc.yaml", root)
    settings = dataclasses.replace(recipe, data=Path("."), export=Path("."))
    values: dict[str, Any] = to_dict(settings) | {"data": "data/pretraining", "export": "elp_core/backbones/tiny"}
    (root / "params.yaml").write_text(yaml.safe_dump({"pretraining": values}))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"], ["git", "add", "."]):
        subprocess.run(command, cwd=root, check=True)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not here (a Debian-like system has it)")
def test_repro_makes_the_backbone_and_again_makes_nothing(recipe: Recipe, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    root = tmp_path / "checkout"
    _checkout(recipe, root)
    environment = os.environ | {
        "ELP_PRETRAINING_DEBS": str(_packages(tmp_path / "debs", rng)),
        "ELP_FSDD": str(_digits(tmp_path / "fsdd", rng)),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    dvc("repro")
    made = root / "elp_core" / "backbones" / "tiny"
    record = json.loads((made / "pretraining.json").read_text())
    assert {source["name"] for source in record["corpus"]["sources"]} >= {package.name for package in PACKAGES}
    assert (made / "README.md").is_file()
    stamp = (made / "model.safetensors").stat().st_mtime_ns
    assert "Data and pipelines are up to date" in dvc("repro")
    assert (made / "model.safetensors").stat().st_mtime_ns == stamp
    assert "digit" in dvc("metrics", "show")

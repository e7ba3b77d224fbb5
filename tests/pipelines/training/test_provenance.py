from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import elp_core
from elp_core.task_specs import ClassificationOptions, TaskSpec, task_spec
from pipelines.registry.lineage import Lineage, ids_digest
from pipelines.training import provenance

BASE: dict[str, Any] = {
    "dataset_dvc_hash": "abc.dir",
    "settings": {"train": {"epochs": 3}, "adapter": {}},
    "backbone_fingerprint": "sha256:f",
    "recipe": 1,
    "seed": 0,
    "clips": "sha256:i",
}


def test_equal_inputs_have_equal_keys() -> None:
    reordered = {**BASE, "settings": {"adapter": {}, "train": {"epochs": 3}}}
    assert provenance.training_key(**BASE) == provenance.training_key(**reordered)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataset_dvc_hash", "abd.dir"),
        ("settings", {"train": {"epochs": 4}, "adapter": {}}),
        ("backbone_fingerprint", "sha256:g"),
        ("recipe", 2),
        ("seed", 1),
        ("clips", "sha256:j"),
    ],
)
def test_every_input_is_in_the_key(name: str, value: Any) -> None:
    assert provenance.training_key(**{**BASE, name: value}) != provenance.training_key(**BASE)


def test_a_key_of_release_0_1_0_is_known() -> None:
    path = Path(__file__).parents[2] / "goldens" / "statements" / "0.1.0-lineage-file.json"
    lineage = Lineage.from_json(json.loads(path.read_text(encoding="utf-8")))
    settings = {"slot": lineage.slot, **lineage.config, "task_code": ""}
    given = (lineage.dataset.dvc_hash, settings, lineage.backbone.fingerprint, lineage.seed, lineage.training.ids)
    assert provenance.RELEASED_CODE[1] == (lineage.code.digest,)
    assert provenance.training_key(*given, code=lineage.code.digest) == lineage.key


def test_the_digest_of_ids_does_not_ask_for_their_order() -> None:
    assert ids_digest(["a", "b"]) == ids_digest(["b", "a"])
    assert ids_digest(["a", "b"]) != ids_digest(["ab"])


def test_the_code_digest_sees_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text("x = 1\n")
    monkeypatch.setattr(elp_core, "__file__", str(tmp_path / "__init__.py"))
    before = provenance.code_digest()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "more.py").write_text("")
    named = provenance.code_digest()
    (tmp_path / "deep" / "more.py").write_text("y = 2\n")
    assert len({before, named, provenance.code_digest()}) == 3


def test_code_outside_a_checkout_has_a_digest_and_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "elp_core"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(elp_core, "__file__", str(package / "__init__.py"))
    found = provenance.code_version()
    assert (found.revision, found.dirty) == ("", None)
    assert found.digest.startswith("sha256:")


def test_the_lock_names_what_is_installed() -> None:
    listed = provenance.installed_packages()
    found = provenance.package_versions(listed)
    assert found["lock"] == provenance.lock_digest(listed)
    assert f"torch=={found['torch']}" in listed


def test_the_code_of_a_task_from_elsewhere_is_part_of_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "elsewhere_task.py").write_text("class Task: pass\n")
    spec = TaskSpec("elsewhere", "elsewhere_task:Task", (), ClassificationOptions)
    before = provenance.task_digest(spec)
    (tmp_path / "elsewhere_task.py").write_text("class Task: other = 1\n")
    assert before.startswith("sha256:")
    assert before != provenance.task_digest(spec)
    assert provenance.task_digest(task_spec("asr")) == ""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import elp_core
from elp_core.task_specs import ClassificationOptions, TaskSpec, task_spec
from pipelines.registry.lineage import ids_digest
from pipelines.training import provenance as collect

BASE: dict[str, Any] = {
    "dataset_dvc_hash": "abc.dir",
    "settings": {"train": {"epochs": 3}, "adapter": {}},
    "backbone_fingerprint": "sha256:f",
    "code_digest": "sha256:c",
    "seed": 0,
    "clips": "sha256:i",
}


def test_equal_inputs_have_equal_keys() -> None:
    reordered = {**BASE, "settings": {"adapter": {}, "train": {"epochs": 3}}}
    assert collect.training_key(**BASE) == collect.training_key(**reordered)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataset_dvc_hash", "abd.dir"),
        ("settings", {"train": {"epochs": 4}, "adapter": {}}),
        ("backbone_fingerprint", "sha256:g"),
        ("code_digest", "sha256:d"),
        ("seed", 1),
        ("clips", "sha256:j"),
    ],
)
def test_every_input_is_in_the_key(name: str, value: Any) -> None:
    assert collect.training_key(**{**BASE, name: value}) != collect.training_key(**BASE)


def test_the_digest_of_ids_does_not_ask_for_their_order() -> None:
    assert ids_digest(["a", "b"]) == ids_digest(["b", "a"])
    assert ids_digest(["a", "b"]) != ids_digest(["ab"])


def test_the_code_digest_sees_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text("x = 1\n")
    monkeypatch.setattr(elp_core, "__file__", str(tmp_path / "__init__.py"))
    before = collect.code_digest()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "more.py").write_text("")
    named = collect.code_digest()
    (tmp_path / "deep" / "more.py").write_text("y = 2\n")
    assert len({before, named, collect.code_digest()}) == 3


def test_code_outside_a_checkout_has_a_digest_and_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "elp_core"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(elp_core, "__file__", str(package / "__init__.py"))
    found = collect.code_version()
    assert (found.revision, found.dirty) == ("", None)
    assert found.digest.startswith("sha256:")


def test_the_lock_names_what_is_installed() -> None:
    found = collect.packages()
    assert found["lock"].startswith("sha256:")
    assert f"torch=={found['torch']}" in collect.installed_packages()


def test_the_code_of_a_task_from_elsewhere_is_part_of_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "elsewhere_task.py").write_text("class Task: pass\n")
    spec = TaskSpec("elsewhere", "elsewhere_task:Task", (), ClassificationOptions)
    before = collect.task_digest(spec)
    (tmp_path / "elsewhere_task.py").write_text("class Task: other = 1\n")
    assert before.startswith("sha256:")
    assert before != collect.task_digest(spec)
    assert collect.task_digest(task_spec("asr")) == ""

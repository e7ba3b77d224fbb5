from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from elp_core.errors import ConfigError
from elp_core.task_specs import (
    TASKS,
    ClassificationOptions,
    RecognitionOptions,
    TaskSpec,
    VerificationOptions,
    register,
    task_spec,
)

PLUGIN = """
from elp_core.task_specs import ClassificationOptions, TaskSpec, register
register(TaskSpec("lid", "plugin:Language", ("label",), ClassificationOptions))
"""


def test_the_table_knows_the_four_tasks_and_their_classes() -> None:
    assert {"asr", "asv", "ser", "sic"} <= TASKS.keys()
    for name in ("asr", "asv", "ser", "sic"):
        assert task_spec(name).load().name == name


def test_the_table_needs_no_torch() -> None:
    code = "import sys, elp_core.task_specs; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == ["False"] * 2


@pytest.mark.parametrize("name", ["", "KWS", "key-word", "wörter", "a b"])
def test_a_name_that_no_slot_could_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a task"):
        register(TaskSpec(name, "somewhere:Task", (), ClassificationOptions))


def test_the_same_task_can_be_registered_again_but_no_other_of_its_name() -> None:
    assert register(task_spec("ser")) is task_spec("ser")
    with pytest.raises(ConfigError, match=r"ser is elp_core\.tasks\.classification:EmotionRecognition already"):
        register(TaskSpec("ser", "somewhere:Task", ("label",), ClassificationOptions))


def test_an_entry_point_joins_without_an_import(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "plugin-1.dist-info").mkdir()
    (tmp_path / "plugin-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (tmp_path / "plugin-1.dist-info" / "entry_points.txt").write_text("[elp.tasks]\nlid = plugin\n")
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r}); from pipelines.local.settings import Slot; "
        "from elp_core.task_specs import names; print(Slot.parse('plant-a/lid').task_spec.needs, names())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "('label',) ['asr', 'asv', 'lid', 'ser', 'sic']\n", done.stderr


@pytest.mark.parametrize(
    ("options", "values", "fault"),
    [
        (RecognitionOptions, {"dilations": (0, 1)}, "dilations is .*expected numbers of 1 or more"),
        (RecognitionOptions, {"dropout": 1.0}, "dropout is 1.0"),
        (VerificationOptions, {"margin": 2.0}, "margin is 2.0, expected 0 or more and less than 1.5"),
        (VerificationOptions, {"scale": 0.0}, "scale is 0.0, expected more than 0"),
        (VerificationOptions, {"cohort": 1}, "cohort is 1, expected 2 or more"),
        (VerificationOptions, {"embedding": 0, "channels": 0}, "2 faults"),
        (ClassificationOptions, {"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_options_out_of_range_are_refused(options: type[Any], values: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        options(**values)

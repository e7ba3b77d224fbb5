from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from elp_core.errors import OpsError
from pipelines.datasets.clip_rules import Rule, rules_for
from pipelines.datasets.expectations import (
    Validate,
    import_great_expectations,
    validate_rows,
    validation_process,
)
from pipelines.registry.policies import DataPolicy
from tests.support.running_children import running_children

RULES = (
    Rule("too_long", "duration", "between", maximum=5.0),
    Rule("outside_alphabet", "text", "matches", pattern="^[a-z ]*$"),
    Rule("no_speaker", "speaker", "present"),
    Rule("unknown_split", "split", "among", values=("train", "test")),
    Rule("duplicate", "id", "unique"),
)


@pytest.mark.integration
def test_each_rule_names_the_rows_that_broke_it(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d", "d"],
            "duration": [1.0, 9.0, 1.0, 1.0, 1.0],
            "text": ["yes", "no", "öl", None, "yes"],
            "speaker": ["anna", None, "bert", "anna", "anna"],
            "split": ["train", "test", "train", "holdout", "train"],
        }
    )
    # a digest may be a number that is too large for a year
    found = validate_rows(frame, RULES, "plant-a-asr", "7513694436207587", tmp_path)
    assert found == [("b",), ("c",), ("b",), ("d",), ("d", "d")]
    assert "too_long" not in (page := (tmp_path / "index.html").read_text())
    assert "plant-a-asr" in page
    pages = (tmp_path / "validations").rglob("*.html")
    assert [path.parts[-3] for path in pages] == ["delivery 7513694436207587"]


@pytest.mark.parametrize(("task", "reason"), [("asr", "empty_transcript"), ("asv", "no_speaker")])
def test_every_task_adds_its_own_rules(task: str, reason: str) -> None:
    reasons = {rule.reason for rule in rules_for(task, DataPolicy())}
    assert {reason, "silent", "too_long", "duplicate"} <= reasons


def test_the_frames_of_the_backbone_bound_the_units_a_second() -> None:
    def pace(*frames_per_second: float) -> str:
        rules = rules_for("asr", DataPolicy(), None, *frames_per_second)
        return next(rule.expects for rule in rules if rule.reason == "transcript_too_long")

    assert (pace(), pace(25.0)) == ("letters_per_second ≤ 50", "letters_per_second ≤ 25")


def test_a_rule_says_what_it_expects() -> None:
    assert [rule.expects for rule in RULES] == [
        "duration ≤ 5",
        "text matches ^[a-z ]*$",
        "speaker is given",
        "split is one of train, test",
        "id is unique",
    ]


def frame_of(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"id": [str(number) for number in range(len(texts))], "text": texts})


@contextlib.contextmanager
def another_process() -> Iterator[Validate]:
    """The process that is started if Great Expectations is not imported in this one."""
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.delitem(sys.modules, "great_expectations", raising=False)
            validate = stack.enter_context(validation_process())
        assert validate is not validate_rows
        yield validate


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the process of `validate` writes to standard error."""
    return tmp_path_factory.mktemp("validation") / "stderr"


@pytest.fixture(scope="module")
def validate(errors: Path) -> Iterator[Validate]:
    """One process for the tests of this module that leave it as it was: its import takes seconds."""
    before = os.dup(2)
    with errors.open("wb") as file, contextlib.ExitStack() as stack:
        os.dup2(file.fileno(), 2)
        try:
            started = stack.enter_context(another_process())
        finally:
            os.dup2(before, 2)
            os.close(before)
        yield started


def child() -> psutil.Process:
    """The newest process that validates."""
    return max(running_children("pipelines.datasets.expectations"), key=lambda one: one.create_time())


def test_no_process_is_started_if_great_expectations_is_imported_here() -> None:
    import_great_expectations()
    with validation_process() as validate:
        assert validate is validate_rows


@pytest.mark.integration
def test_a_validation_process_answers_request_after_request(validate: Validate, errors: Path, tmp_path: Path) -> None:
    for texts, broken in ((("yes", "öl"), ("1",)), (("nein!", "no"), ("0",))):
        assert validate(frame_of(*texts), RULES[1:2], "plant-a-asr", "delivery", tmp_path) == [broken]
    assert (tmp_path / "index.html").is_file()
    assert "Traceback" not in errors.read_text()


@pytest.mark.integration
def test_a_failure_in_the_validation_process_is_reported_and_the_process_goes_on(
    validate: Validate, tmp_path: Path
) -> None:
    with pytest.raises(OpsError, match=r"evaluate too_long: .*duration"):
        validate(frame_of("yes"), RULES[:1], "plant-a-asr", "delivery", tmp_path)
    assert validate(frame_of("yes"), RULES[1:2], "plant-a-asr", "delivery", tmp_path) == [()]


@pytest.mark.integration
def test_a_disk_error_in_the_validation_process_is_that_error_here(validate: Validate, tmp_path: Path) -> None:
    (tmp_path / "docs").write_text("a file in the place of the folder")
    with pytest.raises(OSError, match="docs"):
        validate(frame_of("yes"), RULES[1:2], "plant-a-asr", "delivery", tmp_path / "docs")


@pytest.mark.integration
def test_ctrl_c_does_not_end_the_validation_process_before_its_caller(validate: Validate, tmp_path: Path) -> None:
    assert validate(frame_of("yes"), RULES[1:2], "plant-a-asr", "delivery", tmp_path) == [()]
    child().send_signal(signal.SIGINT)
    assert validate(frame_of("yes"), RULES[1:2], "plant-a-asr", "delivery", tmp_path) == [()]


@pytest.mark.integration
def test_the_end_of_the_validation_process_is_an_error_and_no_hang(tmp_path: Path) -> None:
    with another_process() as validate:
        child().kill()
        with pytest.raises(OpsError, match=r"ended with code -9; try again"):
            validate(frame_of("yes"), RULES[1:2], "plant-a-asr", "delivery", tmp_path)

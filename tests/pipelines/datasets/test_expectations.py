from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipelines.datasets.clip_rules import Rule, rules_for
from pipelines.datasets.expectations import validate_rows
from pipelines.registry.policies import DataPolicy

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
    found = validate_rows(frame, RULES, "plant-a-asr", "delivery", tmp_path)
    assert found == [("b",), ("c",), ("b",), ("d",), ("d", "d")]
    assert "too_long" not in (page := (tmp_path / "index.html").read_text())
    assert "plant-a-asr" in page


@pytest.mark.parametrize(("task", "reason"), [("asr", "empty_transcript"), ("asv", "no_speaker")])
def test_every_task_adds_its_own_rules(task: str, reason: str) -> None:
    reasons = {rule.reason for rule in rules_for(task, DataPolicy())}
    assert {reason, "silent", "too_long", "duplicate"} <= reasons


def test_a_rule_says_what_it_expects() -> None:
    assert [rule.expects for rule in RULES] == [
        "duration ≤ 5",
        "text matches ^[a-z ]*$",
        "speaker is given",
        "split is one of train, test",
        "id is unique",
    ]

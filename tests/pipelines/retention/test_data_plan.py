"""Which dataset versions are kept, and how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.registry.retention import RetentionPolicy
from pipelines.registry.slot import Slot
from pipelines.retention.data_plan import decide_versions
from pipelines.retention.named_data import TaggedData

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = RetentionPolicy(grace_days=14)


def _version(number: int, days: int, slot: str = "a/asr") -> TaggedData:
    made = (NOW - timedelta(days=days)).isoformat()
    return TaggedData(f"data/{slot}/v{number}", Slot.parse(slot), "data", number, made, ())


def test_the_grace_of_a_version_begins_when_a_newer_one_arrives() -> None:
    # a training that is queued reads v10, which was the newest one for 90 days, until yesterday
    tagged = [_version(11, 1), _version(9, 110), _version(10, 91), _version(1, 200, "b/asr"), _version(2, 20, "b/asr")]
    decided = decide_versions(tagged, {}, POLICY, NOW)
    assert {tag: decision.reason for tag, decision in decided.items()} == {
        "data/a/asr/v9": "nothing that is kept was trained on it",
        "data/a/asr/v10": "in its grace for 13.0 more days",
        "data/a/asr/v11": "newest of the slot",
        "data/b/asr/v1": "nothing that is kept was trained on it",
        "data/b/asr/v2": "newest of the slot",
    }


def test_a_newer_version_of_a_machine_whose_clock_is_behind_takes_no_grace_away() -> None:
    decided = decide_versions([_version(1, 5), _version(2, 30)], {}, POLICY, NOW)
    assert decided["data/a/asr/v1"].reason == "in its grace for 9.0 more days"

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from elp_core.errors import ConfigError
from pipelines.registry.retention import RetentionPolicy, StoredAdapter, decide_retention, learned_bundles

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = RetentionPolicy(keep_last=0)


def _adapter(version: int, days: float = 30, **over: object) -> StoredAdapter:
    since = (NOW - timedelta(days=days)).isoformat(timespec="microseconds")
    made = StoredAdapter("a/asr", version, f"sha256:{version}", since, f"run{version}", f"m-{version}")
    return replace(made, **over)


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({"champion": True}, "champion"),
        ({"challenger": True}, "challenger"),
        ({"former": True}, "former champion: a rollback may bring it back"),
        ({"override": True}, "an override needs it"),
        ({"hold": "hold 7 by ann until 2027-01-01: x"}, "hold 7 by ann until 2027-01-01: x"),
    ],
)
def test_what_is_reachable_is_kept_with_its_reason(over: dict[str, object], reason: str) -> None:
    (decision,) = decide_retention([_adapter(1, **over)], POLICY, NOW).values()
    assert (decision.keep, decision.reason) == (True, reason)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ("failed", "rejected by the gate, nothing since 2026-01-30"),
        ("passed", "passed and superseded, nothing since 2026-01-30"),
        ("undecided", "undecided by the gate, nothing since 2026-01-30"),
        ("", "never gated, nothing since 2026-01-30"),
    ],
)
def test_what_goes_says_why(outcome: str, reason: str) -> None:
    (decision,) = decide_retention([_adapter(1, outcome=outcome)], POLICY, NOW).values()
    assert (decision.keep, decision.reason) == (False, reason)


def test_the_grace_and_the_newest_of_a_slot() -> None:
    adapters = [_adapter(1), _adapter(2, days=3), _adapter(3), _adapter(4)]
    decided = decide_retention(adapters, replace(POLICY, keep_last=1), NOW)
    assert {version: decision.keep for (_, version), decision in decided.items()} == {
        1: False,
        2: True,
        3: False,
        4: True,
    }
    assert decided["a/asr", 2].reason == "never gated, in its grace for 11.0 more days"
    assert decided["a/asr", 4].reason == "among the newest 1 of the slot"


def test_the_parents_of_what_is_kept_are_kept() -> None:
    chain = [_adapter(1), _adapter(2, parent="sha256:1"), _adapter(3, parent="sha256:2", champion=True), _adapter(4)]
    decided = decide_retention(chain, POLICY, NOW)
    assert [decided["a/asr", version].keep for version in (1, 2, 3, 4)] == [True, True, True, False]
    assert decided["a/asr", 1].reason == "parent of a/asr v2"
    # a bundle that names itself, or a child of its child, is no endless loop
    loop = [_adapter(1, parent="sha256:2", champion=True), _adapter(2, parent="sha256:1")]
    assert all(decision.keep for decision in decide_retention(loop, POLICY, NOW).values())


def test_ancestors_are_found_up_to_the_first_and_once() -> None:
    learned = {"d": ["c", "x"], "c": ["b"], "b": ["a", "c"], "e": ["d"]}
    assert learned_bundles(["d"], learned) == {"a", "b", "c", "x"}
    assert learned_bundles(["a", "unknown"], learned) == set()


@pytest.mark.parametrize(
    "over", [{"grace_days": -1}, {"trash_days": 1e9}, {"keep_last": -1}, {"runs_days": 0.5}], ids=str
)
def test_a_policy_that_is_none(over: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"retention.{next(iter(over))}: expected"):
        RetentionPolicy(**over)

from __future__ import annotations

from pipelines.audit.facts import Fact, compared, tree_text


def _tree() -> Fact:
    return Fact(
        "adapter", "a/asr v1", children=(compared("bundle", "x", "x", "disk"), compared("tag", "y", "z", "Git"))
    )


def test_equal_values_are_verified_and_others_name_both() -> None:
    good, bad = _tree().children
    assert (good.state, good.note) == ("verified", "")
    assert (bad.state, bad.value, bad.note) == ("failed", "y", "Git has z")


def test_failed_facts_are_found_at_any_depth() -> None:
    deep = Fact("top", "", children=(Fact("middle", "", children=(_tree(),)),))
    assert [fact.name for fact in deep.failed] == ["tag"]
    assert deep.not_verified == ()


def test_the_tree_reads_from_top_to_bottom() -> None:
    assert tree_text(_tree()) == "adapter: a/asr v1\n├─✓ bundle: x\n└─✗ tag: y  (Git has z)"


def test_json_leaves_empty_parts_out() -> None:
    assert _tree().to_json()["children"][0] == {"name": "bundle", "value": "x", "state": "verified"}

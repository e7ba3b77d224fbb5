from __future__ import annotations

from dataclasses import fields

import pytest

from elp_core.task_specs import task_spec
from pipelines.local.settings import Settings, read_settings
from pipelines.registry.slot import Slot
from tests.docs.pages import fences

BLOCKS = [read_settings(fence.text) for fence in fences("yaml") if fence.page == "settings.md"]


def test_the_page_shows_the_defaults_of_the_workspace() -> None:
    assert BLOCKS[0] == Settings()


def test_the_page_shows_the_defaults_of_a_slot() -> None:
    import yaml

    text = next(f.text for f in fences("yaml") if f.page == "settings.md" and f.text.startswith("defaults"))
    shown = yaml.safe_load(text)["defaults"]["asr"]
    assert shown.keys() == {
        "adapter",
        "train",
        "data",
        "gate",
        "decode",
        "task",
        "language",
        "compute",
        "monitor",
        "requests",
    }
    assert BLOCKS[1].for_slot(Slot("any", "asr")) == Settings().for_slot(Slot("any", "asr"))


@pytest.mark.parametrize("task", ["asv", "ser", "sic"])
def test_the_page_shows_every_option_of_the_tasks(task: str) -> None:
    assert BLOCKS[2].for_slot(Slot("any", task)) == Settings().for_slot(Slot("any", task))
    assert BLOCKS[2].defaults[task]["task"].keys() == {item.name for item in fields(task_spec(task).options)}

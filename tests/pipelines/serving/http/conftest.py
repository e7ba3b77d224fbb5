"""One server with every task for the tests that only ask; what they change, they change on servers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.registry.slot import Slot
from tests.support.speech_server import TASKS, FolderChampions, SpeechServer, speech_server, write_varied


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Path]:
    """Two bundles of each task by task and number."""
    root = tmp_path_factory.mktemp("served")
    return {
        (task, seed): write_varied(root / f"{task}-{seed}", Slot("plant-a", task), seed)
        for task in TASKS
        for seed in (1, 2)
    }


@pytest.fixture(scope="session")
def champions(bundles: dict[tuple[str, int], Path]) -> FolderChampions:
    """Version 1 of every task at the site plant-a."""
    return FolderChampions({Slot("plant-a", task): (1, bundles[task, 1]) for task in TASKS})


@pytest.fixture(scope="session")
def server(champions: FolderChampions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpeechServer]:
    with speech_server(champions, tmp_path_factory.mktemp("server")) as running:
        yield running

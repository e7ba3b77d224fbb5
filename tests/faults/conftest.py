"""One plant for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.plant import Plant, plant_with_a_job


@pytest.fixture(scope="module")
def faulted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with plant_with_a_job(tmp_path_factory.mktemp("faults")) as made:
        yield made

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from pipelines.settings import Slot
from tests.support.console_pages import console_client, open_stores
from tests.support.registry_rows import fill

SCRIPT = "<script>alert('x')</script>\"'>&"


@pytest.fixture(scope="package")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The pages over two sites with two slots each, five versions a slot, whose reasons are an attacker's."""
    slots = [Slot(site, task) for site in ("plant-a", "plant-b") for task in ("asr", "asv")]
    with pytest.MonkeyPatch.context() as patch:
        registry, _, ring = open_stores(tmp_path_factory.mktemp("console"), patch)
        fill(registry.engine, slots, 5, ring, SCRIPT)
        yield console_client()

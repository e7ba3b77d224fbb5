from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from pipelines.registry.slot import Slot
from tests.support.console_pages import console_client, open_stores
from tests.support.environment import lasting
from tests.support.registry_rows import fill

SCRIPT = "<script>alert('x')</script>\"'>&"


@pytest.fixture(scope="package")
def _console_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("console")
    slots = [Slot(site, task) for site in ("plant-a", "plant-b") for task in ("asr", "asv")]
    with pytest.MonkeyPatch.context() as patch:
        registry, _, ring = open_stores(folder, patch)
        lasting(ELP_KEYS=str(folder / "keys"), ELP_LEDGER_CHECKPOINT=str(folder / "ledger-head.json"))
        fill(registry.engine, slots, 5, ring, SCRIPT)
        yield


@pytest.fixture(scope="package")
def client(_console_stores: None) -> FlaskClient:
    """The pages over two sites with two slots each, five versions a slot, whose reasons are an attacker's."""
    return console_client()


@pytest.fixture
def visitor(client: FlaskClient) -> FlaskClient:
    """A browser with cookies of its own; `client` has opened the stores."""
    return console_client()

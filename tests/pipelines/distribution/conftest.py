"""A depot that is made once, and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.delivery_by_hand import Depot
from tests.support.delivery_plant import Plant, make_plant
from tests.support.environment import lasting
from tests.support.guarded_server import guarded_server
from tests.support.rest import Rest


@pytest.fixture(scope="session")
def _made_depot(tmp_path_factory: pytest.TempPathFactory) -> Depot:
    depot = Depot.make(tmp_path_factory.mktemp("depot"))
    depot.publish(plant_a=[depot.ship("plant-a/asr", 1, "first")], plant_b=[depot.ship("plant-b/asr", 4, "other")])
    return depot


@pytest.fixture
def depot(_made_depot: Depot, tmp_path: Path) -> Depot:
    """An operator's side of the test's own, with a set published for two sites."""
    folder = tmp_path / "depot"
    shutil.copytree(_made_depot.folder, folder)
    signers = [folder / key.relative_to(_made_depot.folder) for key in _made_depot.signers]
    return replace(
        _made_depot,
        folder=folder,
        statements=load_trusted_keys(folder / "keys"),
        signers=signers,
        sets=dict(_made_depot.sets),
    )


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A real server with a root for the sites of `SITES`; each test has a site of its own."""
    folder = tmp_path_factory.mktemp("plant")
    with guarded_server(folder / "server") as server:
        lasting(ELP_KEYS=str(server.keys))
        yield make_plant(folder, Rest(server.uri), server.keys)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """The folder of a box that has nothing yet."""
    return tmp_path / "box"

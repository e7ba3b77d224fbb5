"""A server whose artifacts are in a bucket delivers to boxes: whole, continued at the byte, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.distribution.export_set import export_set
from pipelines.distribution.sources import ByteStream, FolderSource, HttpSource
from pipelines.errors import DeliveryRefused, ServiceError
from pipelines.local.box_home import active_set
from tests.support.delivery_plant import Plant, make_plant
from tests.support.environment import lasting
from tests.support.guarded_server import Bucket, guarded_server
from tests.support.object_store import ObjectStore
from tests.support.rest import Rest

pytestmark = pytest.mark.slow

SITE = "plant-a"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's folder for temporary files."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def plant(fragile: ObjectStore, scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("plant")
    bucket = Bucket(fragile, "speech", "mlflow")
    with guarded_server(folder / "server", None, {"TMPDIR": str(scratch)}, bucket) as server:
        lasting(ELP_KEYS=str(server.keys))
        yield make_plant(folder, Rest(server.uri), server.keys)


class CutSource(HttpSource):
    """A connection that breaks off in the weights."""

    def read(self, path: str, start: int = 0) -> ByteStream:
        found = super().read(path, start)
        if not path.endswith("safetensors") or start:
            return found
        return ByteStream(found.start, iter([next(iter(found.chunks))[:3_000]]))


def _serves(box: Path) -> list[int]:
    present = active_set(box)
    assert present is not None
    present.verify()
    return [adapter.version for adapter in present.site_set.adapters]


@pytest.mark.timeout(900)
def test_a_box_pulls_from_a_server_on_a_bucket(
    plant: Plant, fragile: ObjectStore, scratch: Path, tmp_path: Path
) -> None:
    first, source, box = plant.promote("plant-a/asr", "first"), HttpSource(plant.uri), tmp_path / "box"
    with pytest.raises(ServiceError, match="broke off"):
        plant.pull(box, SITE, CutSource(plant.uri))
    [part] = (box / "downloads").glob("*.part")
    assert part.stat().st_size == 3_000
    assert plant.pull(box, SITE, source).changed
    assert _serves(box) == [1]
    assert not plant.pull(box, SITE, source).changed

    # the medium of `elp export`, which is filled from the bucket, too
    export_set(SITE, source, tmp_path / "medium")
    usb = tmp_path / "usb"
    plant.pull(usb, SITE, FolderSource(tmp_path / "medium" / SITE))
    assert _serves(usb) == [1]

    # a store that is away: what was published stays so
    plant.promote("plant-a/asr", "second", first)
    fragile.kill()
    assert not plant.pull(box, SITE, source).changed
    fragile.start()
    faults = plant.rest("GET", "/elp/api/v1/delivery").json["faults"]
    assert faults == {}
    # the second version is published, and its files cannot be read
    fragile.kill()
    with pytest.raises((ServiceError, DeliveryRefused)) as found:
        plant.pull(box, SITE, source)
    assert "cannot be read" in str(found.value)
    assert _serves(box) == [1]
    fragile.start()
    assert plant.pull(box, SITE, source).changed
    assert _serves(box) == [2]
    # no file of the store is left on the server
    assert not list(scratch.iterdir())

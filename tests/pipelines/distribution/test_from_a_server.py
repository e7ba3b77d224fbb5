"""The real server publishes its champions; boxes pull them over HTTP and from the medium of `elp export`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.distribution.export_set import export_set
from pipelines.distribution.sources import ByteStream, FolderSource, HttpSource, Source
from pipelines.errors import DeliveryRefused
from pipelines.local.box_home import active_set
from pipelines.local.workspace import Workspace
from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.delivery_by_hand import ship_fingerprint
from tests.support.delivery_plant import Plant
from tests.support.versions_by_hand import gate, promote, register

pytestmark = pytest.mark.integration

SITE = "plant-a"


@dataclass
class Counted:
    """A source whose requests and bytes are counted."""

    source: Source
    paths: list[str] = field(default_factory=list)
    bytes: int = 0
    cut: int = 0
    """Bytes after which a file of a bundle breaks off; 0 never."""

    @property
    def shown(self) -> str:
        return self.source.shown

    @property
    def fresh(self) -> timedelta:
        return self.source.fresh

    def read(self, path: str, start: int = 0) -> ByteStream:
        self.paths.append(f"{path}@{start}" if start else path)
        found = self.source.read(path, start)
        return ByteStream(found.start, self._counted(found, bool(self.cut) and path.endswith("safetensors")))

    def _counted(self, stream: ByteStream, cut: bool) -> Iterator[bytes]:
        for chunk in stream.chunks:
            self.bytes += len(chunk)
            yield chunk[: self.cut] if cut else chunk
            if cut:
                return


def _tree(box: Path) -> dict[str, bytes]:
    places = [box / "current.json", *(box / "bundles").rglob("*"), *(box / "statements").rglob("*")]
    return {path.relative_to(box).as_posix(): path.read_bytes() for path in places if path.is_file()}


def _serves(box: Path) -> list[int]:
    present = active_set(box)
    assert present is not None
    present.verify()
    return [adapter.version for adapter in present.site_set.adapters]


def test_from_the_first_champion_to_the_second(plant: Plant, tmp_path: Path) -> None:
    first, source = plant.promote("plant-a/asr", "first"), HttpSource(plant.uri)
    http, medium, usb = tmp_path / "http", tmp_path / "medium", tmp_path / "usb"
    assert plant.pull(http, SITE, source).changed
    assert _serves(http) == [1]

    # the medium gives the same tree, byte for byte, and the file names of the server
    exported = export_set(SITE, source, medium)
    assert datetime.fromisoformat(exported.until) > datetime.now(UTC) + timedelta(days=179)
    assert plant.pull(usb, SITE, FolderSource(medium / SITE)).changed
    assert _tree(usb) == _tree(http)

    # nothing changed: the next root is asked for, and the timestamp
    counted = Counted(source)
    assert not plant.pull(http, SITE, counted).changed
    assert counted.paths == ["metadata/2.root.json", "metadata/timestamp.json"]
    # 387 when this was written, see docs/how-to/edge-boxes.md
    assert counted.bytes < 500

    # the metadata are those of the last change until the champion changes
    plant.promote("plant-a/asr", "second", first)
    assert plant.pull(http, SITE, source).changed
    assert _serves(http) == [2]
    assert _serves(usb) == [1]
    export_set(SITE, source, medium)
    plant.pull(usb, SITE, FolderSource(medium / SITE))
    assert _tree(usb) == _tree(http)

    # a rollback is a change like any other
    plant.rest.post("/elp/api/v1/rollback", {"slot": "plant-a/asr", "reason": "worse at the press"})
    plant.pull(http, SITE, source)
    assert _serves(http) == [1]


def test_a_broken_connection_continues_at_the_byte(plant: Plant, tmp_path: Path) -> None:
    plant.promote("plant-b/ser", "third")
    source, box = HttpSource(plant.uri), tmp_path / "box"
    broken = Counted(source, cut=3_000)
    from pipelines.errors import ServiceError

    with pytest.raises(ServiceError, match="broke off"):
        plant.pull(box, "plant-b", broken)
    [part] = (box / "downloads").glob("*.part")
    assert part.stat().st_size == 3_000
    whole = Counted(source)
    assert plant.pull(box, "plant-b", whole).changed
    assert [path for path in whole.paths if path.endswith("safetensors@3000")]


def test_paths_that_name_no_file_are_answered_with_404(plant: Plant) -> None:
    rest = plant.rest
    for path in (
        "metadata/2.root.json",
        "metadata/..%2f..%2fkeys%2ftrusted.json",
        "metadata/published.json",
        "targets/plant-a/" + "0" * 64 + ".set.json",
        "targets/plant-a/asr/" + "0" * 64 + "/" + "0" * 64 + ".README.md",
        "targets/plant-a/asr/../../keys/private",
        "targets/plant-a/nonsense/" + "0" * 64 + "/" + "0" * 64 + ".README.md",
    ):
        assert rest("GET", f"/elp/api/v1/delivery/{path}").status == 404, path


def test_a_champion_by_an_unnamed_key_is_not_published_and_named(plant: Plant, tmp_path: Path) -> None:
    from pipelines.registry.signing.key_folder import new_key

    source, rest = HttpSource(plant.uri), plant.rest
    box = tmp_path / "box"
    plant.promote("plant-c/asr", "before")
    plant.pull(box, "plant-c", source)
    before = _tree(box)
    # a trainer that was added after the root was signed
    new_key(plant.keys.folder, "late-lineage", ("lineage",))
    newer = load_trusted_keys(plant.keys.folder)
    made = register(rest, "elp.plant-c.sic", "late", lineage=newer)
    gate(rest, made, "passed", None, newer)
    promote(rest, made)
    faults = rest("GET", "/elp/api/v1/delivery").json["faults"]
    assert "is not trusted" in faults["plant-c"]
    assert "elp root" in faults["plant-c"]
    assert not plant.pull(box, "plant-c", source).changed
    assert _tree(box) == before
    # the signers name the key, and the champion is published
    plant.next_root()
    assert plant.pull(box, "plant-c", source).changed
    assert rest("GET", "/elp/api/v1/delivery").json["faults"] == {}


@pytest.fixture
def commands(plant: Plant, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace of the control host, whose server is the plant's."""
    path = workspace.root / "elp.yaml"
    path.write_text(path.read_text() + f"\nservers:\n  mlflow_uri: {plant.uri}\n")
    monkeypatch.chdir(workspace.root)
    return workspace


def test_the_commands_from_the_keys_to_the_rollback(
    plant: Plant,
    commands: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # a second server of the same key folder is not needed: the ceremony of the commands is a folder of its own
    people, ceremony = tmp_path / "people", tmp_path / "ceremony"
    for name in ("ann", "bob", "eve"):
        assert run(["root", "key", str(people / f"{name}.pem")]) == 0
    assert run(["root", "request", "plant-d", "plant-b", "--to", str(tmp_path / "request.json")]) == 0
    signers = [word for name in ("ann", "bob", "eve") for word in ("--signer", str(people / f"{name}.pem.pub"))]
    assert run(["root", "make", str(ceremony), "--request", str(tmp_path / "request.json"), *signers]) == 0
    assert run(["root", "sign", str(ceremony), "--key", str(people / "ann.pem")]) == 0
    capfd.readouterr()
    assert run(["root", "publish", str(ceremony)]) == 1
    assert "1 of 2 signatures" in capfd.readouterr().err
    assert run(["root", "sign", str(ceremony), "--key", str(people / "eve.pem"), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["version"], shown["missing"], shown["sites"]) == (1, 0, ["plant-b", "plant-d"])
    # boxes have got another first root from this server
    assert run(["root", "publish", str(ceremony)]) == 1
    assert "another root than boxes have got" in capfd.readouterr().err

    monkeypatch.setattr("pipelines.distribution.pull_box._fingerprint", lambda backbone: ship_fingerprint())
    plant.promote("plant-d/asr", "by commands")
    box, medium = str(tmp_path / "box"), str(tmp_path / "medium")
    assert run(["export", "plant-d", "--to", medium]) == 0
    assert run(["pull", "plant-d", "--from", medium, "--box", box]) == 1
    assert "--root FILE" in capfd.readouterr().err
    root = str(plant.first_root)
    assert run(["pull", "plant-d", "--from", medium, "--box", box, "--root", root]) == 0
    assert "plant-d serves plant-d/asr v1" in capfd.readouterr().out
    assert run(["pull", "plant-d", "--from", plant.uri, "--box", box, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["changed"] is False
    assert run(["pull", "plant-b", "--box", box]) == 2
    assert run(["box", "show", "--box", box]) == 0
    assert "unchanged at" in capfd.readouterr().out
    assert run(["box", "rollback", "--box", box]) == 1
    assert "no set before" in capfd.readouterr().err


def test_the_first_root_by_its_digest(plant: Plant, tmp_path: Path) -> None:
    from pipelines.distribution.pull_box import _first_root
    from pipelines.registry.signing.canonical_json import sha256

    source, content = HttpSource(plant.uri), plant.first_root.read_bytes()
    assert _first_root(f"sha256:{sha256(content)}", source) == content
    with pytest.raises(DeliveryRefused, match="not sha256:000"):
        _first_root("sha256:" + "0" * 64, source)

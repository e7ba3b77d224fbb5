from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elp_core.bundle import BundleManifest, verify_bundle
from pipelines.registry.lineage import BackboneOrigin
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.training.provenance import lineage_statement
from tests.support import bundles

SLOT = Slot("plant-a", "asr")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "bundle"
    bundles.make_bundle(folder, SLOT, "k1")
    return folder


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> BundleManifest:
    return verify_bundle(bundle)


@pytest.fixture(scope="module")
def statement(manifest: BundleManifest) -> LineageStatement:
    return lineage_statement(SLOT.model_name, manifest)


def test_the_same_bundle_gives_the_same_statement(manifest: BundleManifest, statement: LineageStatement) -> None:
    assert lineage_statement(SLOT.model_name, manifest) == statement
    assert parse_statement(statement.payload) == statement


def test_its_subject_is_the_bundle_and_every_file_in_it(bundle: Path, statement: LineageStatement) -> None:
    assert statement.bundle == f"sha256:{sha256((bundle / 'manifest.json').read_bytes())}"
    found = {path.name: sha256(path.read_bytes()) for path in bundle.iterdir() if path.name != "manifest.json"}
    assert statement.files == found


def test_every_material_of_the_design_is_named_by_digest(manifest: BundleManifest, statement: LineageStatement) -> None:
    digests = {material.name: dict(material.digest) for material in statement.materials}
    assert digests == {
        "dataset": {"gitCommit": "a" * 40, "dvcMd5": "d" * 32},
        "clips": {"elpIds": "1" * 64},
        "golden": {"elpIds": "e" * 64},
        "backbone": {"elpFingerprint": manifest.fingerprint.removeprefix("sha256:")},
        "code": {"elpCode": "c" * 64},
        "packages": {"elpLock": "7" * 64},
    }
    assert statement.fingerprint == manifest.fingerprint
    assert statement.dataset == "data/plant-a/asr/v1"


def _with(manifest: BundleManifest, part: str, **values: Any) -> LineageStatement:
    statement = lineage_statement(SLOT.model_name, replace(manifest, lineage={**manifest.lineage, part: values}))
    assert parse_statement(statement.payload) == statement
    return statement


def test_what_there_is_not_is_left_out(manifest: BundleManifest) -> None:
    names = {material.name for material in _with(manifest, "golden", tag="", digest="").materials}
    assert names == {"dataset", "clips", "backbone", "code", "packages"}


def test_the_backbone_carries_what_was_recorded_of_it(manifest: BundleManifest, statement: LineageStatement) -> None:
    assert b"licence" not in statement.payload
    made = _with(manifest, "backbone_origin", licence="MIT", commercial="allowed", source="hub x/y", pretraining="1 h")
    assert made.backbone_origin == BackboneOrigin("MIT", "allowed", "hub x/y", "1 h")
    assert made.fingerprint == statement.fingerprint


def test_code_from_a_repository_is_named_by_its_commit_too(manifest: BundleManifest) -> None:
    made = _with(manifest, "code", version="1", digest="sha256:" + "c" * 64, revision="9" * 40, dirty=True)
    assert made.material("code").digest["gitCommit"] == "9" * 40

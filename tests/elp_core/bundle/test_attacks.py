"""Every way we could think of to pass off an altered bundle; each is refused by name, none reaches a tensor."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from elp_core.bundle import FILES, MANIFEST, bundle_digest, load_bundle, verify_bundle, write_bundle
from elp_core.bundle.format import render_manifest
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig
from elp_core.errors import BundleError
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition
from elp_core.testing import tiny_backbone

TENSORS, CONFIG, LINEAGE = "adapter_model.safetensors", "adapter_config.json", "lineage.json"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "bundle"
    config = ElpConfig(EncoderAdapterConfig(4), LayerAdapterConfig(6))
    write_bundle(folder, ElpModel(tiny_backbone(), config, SpeechRecognition()), {"slot": "a/asr"}, {})
    return folder


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def _remanifest(folder: Path) -> None:
    """What an attacker does who knows the format."""
    (folder / MANIFEST).write_bytes(render_manifest({name: (folder / name).read_bytes() for name in FILES}))


def _edit(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    values = json.loads((folder / name).read_text())
    change(values)
    (folder / name).write_text(json.dumps(values))
    _remanifest(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from((*FILES, MANIFEST)), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused(name: str, place: float, bit: int, original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flipped"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    raw = bytearray((folder / name).read_bytes())
    raw[int(place * len(raw))] ^= 1 << bit
    (folder / name).write_bytes(raw)
    with pytest.raises(BundleError, match=r"altered|manifest\.json"):
        verify_bundle(folder)
    assert name == MANIFEST or bundle_digest(folder) != bundle_digest(original)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(name: str, bundle: Path) -> None:
    os.truncate(bundle / name, (bundle / name).stat().st_size // 2)
    with pytest.raises(BundleError, match=f"was altered: {name}"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_or_renamed_file_is_refused(name: str, bundle: Path) -> None:
    (bundle / name).rename(bundle.parent / name)
    with pytest.raises(BundleError, match=f"is incomplete: {name} missing"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["setup.py", "pytorch_model.bin", ".hidden", "sub"])
def test_an_additional_file_or_folder_is_refused(name: str, bundle: Path) -> None:
    (bundle / name).mkdir() if name == "sub" else (bundle / name).write_bytes(b"")
    with pytest.raises(BundleError, match=f"holds what no bundle has: '{name}'"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_links_folders_and_pipes_are_refused(name: str, bundle: Path) -> None:
    (bundle / name).rename(bundle.parent / name)
    (bundle / name).symlink_to(bundle.parent / name)
    with pytest.raises(BundleError, match=r"cannot be opened: .*expected a plain file"):
        verify_bundle(bundle)
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    with pytest.raises(BundleError, match="is no plain file"):
        verify_bundle(bundle)


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no such folder"):
        bundle_digest(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "sub/file"])
def test_a_manifest_that_points_elsewhere_is_refused(name: str, bundle: Path) -> None:
    values = json.loads((bundle / MANIFEST).read_text())
    values["files"][name] = values["files"].pop(LINEAGE)
    (bundle / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(BundleError, match=r"manifest\.json lists .*, expected README\.md"):
        verify_bundle(bundle)


def test_a_manifest_of_another_spelling_is_refused(bundle: Path) -> None:
    (bundle / MANIFEST).write_text(json.dumps(json.loads((bundle / MANIFEST).read_text())))
    with pytest.raises(BundleError, match="not in its canonical form"):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (CONFIG, b'{"format": 1, "format": 1}', "key 'format' occurs twice"),
        (LINEAGE, b'{"a": {"seed": 1, "seed": 2}}', "key 'seed' occurs twice"),
        (LINEAGE, b'{"seed": NaN}', "NaN is no JSON number"),
        (LINEAGE, b"[" * 100_000, "lineage.json is no JSON"),
        (LINEAGE, b"[]", "lineage.json holds a list, expected an object"),
        (LINEAGE, b"\xff\xfe", "lineage.json is no JSON"),
        (CONFIG, b'{"format": 2}', "is of format 2, this version reads 1; update"),
        (CONFIG, b'{"format": true}', "is of format True"),
        (CONFIG, b'{"format": 1}', "lacks adapter, backbone, task"),
        (TENSORS, (2**40).to_bytes(8, "little") + b"{}", "the header claims 1099511627776 bytes of a file of 10"),
        (TENSORS, (2**21).to_bytes(8, "little") + b" " * 2**22, "the header claims 2097152 bytes"),
        (TENSORS, b"\x02", "the header claims 2 bytes of a file of 1"),
        (TENSORS, (12).to_bytes(8, "little") + b'{"a":1,"a":2}', "is no JSON"),
        (TENSORS, (13).to_bytes(8, "little") + b'{"a":1,"a":2}', "key 'a' occurs twice"),
    ],
)
def test_malformed_content_is_refused_even_with_a_matching_manifest(
    name: str, content: bytes, message: str, bundle: Path
) -> None:
    (bundle / name).write_bytes(content)
    _remanifest(bundle)
    with pytest.raises(BundleError, match=message):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["backbone"].pop("fingerprint"), "lacks the backbone's id or fingerprint"),
        (lambda c: c["adapter"].update(surprise=1), "unknown key surprise"),
        (lambda c: c["adapter"]["encoder"].update(bottleneck=-1), "bottleneck is -1"),
    ],
)
def test_a_configuration_of_the_wrong_form_is_refused(change: Any, message: str, bundle: Path) -> None:
    _edit(bundle, CONFIG, change)
    with pytest.raises(BundleError, match=message):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["task"].update(name="juggling"), "'juggling' is no task"),
        (lambda c: c["task"].clear(), "None' is no task"),
        (lambda c: c["adapter"]["encoder"].update(layers=[9]), r"encoder.layers is \[9\]"),
        (lambda c: c["adapter"]["encoder"].update(bottleneck=10**12), r"do not fit .*expected float32 \[1000000000000"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_on_loading(change: Any, message: str, bundle: Path) -> None:
    _edit(bundle, CONFIG, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle, tiny_backbone())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l.weights": None}, "l.weights is missing"),
        ({"backdoor": torch.zeros(1)}, "backdoor has no place"),
        ({"l.weights": torch.zeros(4)}, r"l.weights is float32 \[4\], expected float32 \[3\]"),
        ({"l.weights": torch.zeros(3).half()}, r"l.weights is float16 \[3\]"),
        ({"l.weights": torch.full((3,), torch.inf)}, "l.weights has values that are NaN or infinite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    change: dict[str, torch.Tensor | None], message: str, bundle: Path
) -> None:
    tensors = load_file(bundle / TENSORS) | change
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, bundle / TENSORS)
    _remanifest(bundle)
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle, tiny_backbone())


def test_tensors_that_point_outside_the_file_are_refused(bundle: Path) -> None:
    header = json.dumps({"l.weights": {"dtype": "F32", "shape": [3], "data_offsets": [0, 10**9]}}).encode()
    (bundle / TENSORS).write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 12)
    _remanifest(bundle)
    with pytest.raises(BundleError, match=r"adapter_model\.safetensors is malformed"):
        load_bundle(bundle, tiny_backbone())

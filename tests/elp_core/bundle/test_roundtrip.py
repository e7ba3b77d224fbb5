from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from elp_core.bundle import bundle_digest, load_bundle, verify_bundle, write_bundle
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig
from elp_core.errors import BundleError, FingerprintMismatch
from elp_core.inference import predict
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.testing import random_clips, tiny_backbone, tone

LINEAGE: dict[str, Any] = {"slot": "plant-a/asr", "dataset": {"tag": "data/plant-a/asr/v3"}, "seed": 7}
WAVEFORMS = [tone(300, 0.5), tone(500, 0.9)]


def _model(task: str = "asr", seed: int = 0) -> ElpModel:
    torch.manual_seed(seed)
    config = ElpConfig(EncoderAdapterConfig(6), LayerAdapterConfig(10))
    return ElpModel(tiny_backbone(), config, make_task(task, random_clips())).eval()


@pytest.mark.parametrize("task", ["asr", "asv"])
@torch.no_grad()
def test_a_bundle_read_back_answers_the_same(task: str, tmp_path: Path) -> None:
    model = _model(task)
    digest = write_bundle(tmp_path / "bundle", model, LINEAGE, {"wer": 0.25})
    again = load_bundle(tmp_path / "bundle", model.backbone)
    for first, second in zip(predict(model, WAVEFORMS), predict(again, WAVEFORMS), strict=True):
        assert (first == second) if task == "asr" else (first == second).all()
    assert all(torch.equal(tensor, again.state()[name]) for name, tensor in model.state().items())
    assert digest == bundle_digest(tmp_path / "bundle") == verify_bundle(tmp_path / "bundle").digest


def test_the_manifest_says_what_the_bundle_is(tmp_path: Path) -> None:
    model = _model()
    write_bundle(tmp_path / "bundle", model, LINEAGE, {})
    manifest = verify_bundle(tmp_path / "bundle")
    assert (manifest.backbone_id, manifest.fingerprint) == (model.backbone.id, model.backbone.fingerprint)
    assert (manifest.adapter, manifest.task, manifest.lineage) == (model.config, model.task.to_json(), LINEAGE)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_bundle(tmp_path / "a", _model(), LINEAGE, {"wer": 0.25})
    second = write_bundle(tmp_path / "b", _model(), LINEAGE, {"wer": 0.25})
    other = write_bundle(tmp_path / "c", _model(seed=1), LINEAGE, {"wer": 0.25})
    assert first == second != other


def test_the_card_tells_slot_metrics_backbone_and_size(tmp_path: Path) -> None:
    model = _model()
    write_bundle(tmp_path / "bundle", model, LINEAGE, {"wer": 0.25, "train_seconds": 12.5})
    card = (tmp_path / "bundle" / "README.md").read_text()
    for line in ("# ELP adapter `plant-a/asr`", "| wer | 25.00% |", "| train_seconds | 12.5 |", "| dataset | data/pla"):
        assert line in card
    assert f"| trainable parameters | {model.parameter_count():,} (" in card
    assert f"from_pretrained({model.backbone.id!r})" in card


def test_a_card_needs_no_lineage(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", _model(), {}, {})
    assert "None were measured." in (tmp_path / "bundle" / "README.md").read_text()


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    model = _model("asv")
    write_bundle(tmp_path / "bundle", model, LINEAGE, {})
    before = torch.random.get_rng_state()
    load_bundle(tmp_path / "bundle", model.backbone)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_backbone_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    model, other = _model(), tiny_backbone(seed=1)
    write_bundle(tmp_path / "bundle", model, LINEAGE, {})
    with pytest.raises(FingerprintMismatch, match="the adapter belongs to") as caught:
        load_bundle(tmp_path / "bundle", other)
    assert (caught.value.expected, caught.value.got) == (model.backbone.fingerprint, other.fingerprint)


def test_a_bundle_is_never_written_over(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", _model(), LINEAGE, {})
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(tmp_path / "bundle", _model(seed=1), LINEAGE, {})


@torch.no_grad()
def test_a_model_with_broken_values_is_not_written(tmp_path: Path) -> None:
    model = _model()
    model.state()["l.weights"][0] = torch.nan
    with pytest.raises(BundleError, match=r"l\.weights: values are NaN or infinite"):
        write_bundle(tmp_path / "bundle", model, LINEAGE, {})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_a_lineage_that_is_no_json_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="lineage cannot be written as JSON"):
        write_bundle(tmp_path / "bundle", _model(), {"seed": value}, {})
    assert not any(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(tmp_path / "bundle", _model(), LINEAGE, {})
    assert not any(tmp_path.iterdir())


def test_verifying_needs_no_torch(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", _model(), LINEAGE, {})
    code = (
        "import sys, json, pathlib; from elp_core.bundle import verify_bundle, bundle_digest; "
        "m = verify_bundle(pathlib.Path(sys.argv[1])); bundle_digest(pathlib.Path(sys.argv[1])); "
        "print(json.dumps([m.digest, sorted({'torch', 'transformers'} & sys.modules.keys())]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "bundle")], capture_output=True, text=True)
    assert json.loads(done.stdout) == [bundle_digest(tmp_path / "bundle"), []], done.stderr

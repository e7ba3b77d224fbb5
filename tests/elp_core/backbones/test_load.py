from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from elp_core.backbones import Adapters, Backbone, layer_outputs, weights
from elp_core.errors import BackboneError
from elp_core.testing import (
    FAMILY_NAMES,
    FAMILY_STYLES,
    save_tiny,
    tiny_backbone,
    tiny_model,
    waveform_batch,
    write_preprocessor,
)

FORMS = ["sharded", "bin", "sharded bin", "task-wrapped", "old weight norm", "contentvec"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return _save(tiny_model("hubert"), tmp_path / "checkpoint")


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_family_loads_as_it_was_saved(family: str, tmp_path: Path) -> None:
    pre_norm = (family, True) in FAMILY_STYLES
    model = tiny_model(family, pre_norm)
    backbone = Backbone.from_pretrained(save_tiny(tmp_path / "checkpoint", family, pre_norm))
    assert (backbone.family, backbone.layer_count, backbone.hidden_size, backbone.feature_size) == (family, 3, 24, 8)
    assert backbone.fingerprint == Backbone.from_model(model, "other").fingerprint
    assert torch.equal(_last(backbone), _last(Backbone.from_model(model, "other")))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_weights_has_one_fingerprint(form: str, checkpoint: Path) -> None:
    expected = Backbone.from_pretrained(checkpoint)
    _rewrite(checkpoint, form)
    backbone = Backbone.from_pretrained(checkpoint)
    assert backbone.fingerprint == expected.fingerprint
    assert torch.equal(_last(backbone), _last(expected))


def test_a_real_task_wrapped_checkpoint_loads(tmp_path: Path) -> None:
    from transformers import HubertConfig, HubertForCTC

    bare = tiny_model("hubert")
    config = HubertConfig.from_dict({**bare.config.to_dict(), "vocab_size": 8})
    wrapped = HubertForCTC(config)
    wrapped.hubert.load_state_dict(bare.state_dict())
    wrapped.save_pretrained(tmp_path / "ctc")
    write_preprocessor(tmp_path / "ctc", do_normalize=False)
    assert Backbone.from_pretrained(tmp_path / "ctc").fingerprint == Backbone.from_model(bare, "bare").fingerprint


def test_half_precision_weights_run_in_single_precision(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in tensors.items()}, checkpoint / "model.safetensors")
    backbone = Backbone.from_pretrained(checkpoint)
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}
    assert all(line.startswith("float16 ") for line in backbone.digests.values())


def test_the_backbone_is_frozen_and_stays_in_eval_mode() -> None:
    backbone = tiny_backbone()
    backbone.train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_loading_draws_no_random_numbers(checkpoint: Path) -> None:
    before = torch.random.get_rng_state()
    Backbone.from_pretrained(checkpoint)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_embedded_backbone_loads() -> None:
    backbone = Backbone.from_pretrained("elp:tiny")
    assert (backbone.id, backbone.family, backbone.min_samples) == ("elp:tiny", "hubert", 400)
    assert backbone.fingerprint.startswith("sha256:")
    assert bool(_last(backbone).isfinite().all())


def test_keys_that_the_family_does_not_have_change_nothing(checkpoint: Path) -> None:
    before = Backbone.from_pretrained(checkpoint).fingerprint
    path = checkpoint / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_buckets": 5, "replace_prob": 0.5}))
    assert Backbone.from_pretrained(checkpoint).fingerprint == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nowhere/at/all", "is not a folder; expected a checkpoint folder"),
        ("no-owner", "is not a folder; expected a checkpoint folder"),
        ("nobody/nothing", "no config.json on the hub or in its cache"),
    ],
)
def test_a_missing_checkpoint_is_refused(name: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        Backbone.from_pretrained(name)


def test_a_name_below_a_folder_that_exists_is_a_path_and_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "hub_answers", lambda _: pytest.fail("the hub is asked"))
    (tmp_path / "models").mkdir()
    with pytest.raises(BackboneError, match="models/none is not a folder; expected a checkpoint folder"):
        Backbone.from_pretrained("models/none")


def test_a_hub_that_does_not_answer_is_left_at_once_without_warnings(tmp_path: Path) -> None:
    """In a process of its own: the client reads its environment once."""
    program = "from elp_core.backbones import Backbone; Backbone.from_pretrained('nobody/nothing')"
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **nowhere}, capture_output=True, text=True
    )
    assert "no folder of that name (the hub does not answer); check the id" in done.stderr
    # the client of the hub says so before each wait
    assert "Retrying" not in done.stderr


@pytest.mark.parametrize("form", ["single", *FORMS])
def test_a_hub_id_loads_from_the_cache(
    form: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    expected = Backbone.from_pretrained(checkpoint)
    if form != "single":
        _rewrite(checkpoint, form)
    _cache(checkpoint, tmp_path / "hub" / "models--acme--speech")
    shutil.rmtree(checkpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    backbone = Backbone.from_pretrained("acme/speech")
    assert (backbone.id, backbone.fingerprint) == ("acme/speech", expected.fingerprint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "whisper"}, "model_type is 'whisper', expected one of wav2vec2"),
        ({"num_hidden_layers": 4}, "do not belong together: missing encoder.layers.3"),
        ({"num_hidden_layers": 2}, "do not belong together: unexpected encoder.layers.2"),
        ({"intermediate_size": 16}, r"is \[32, 24\], expected \[16, 24\]|is \[32\], expected \[16\]"),
        ({"conv_dim": [8, 8]}, "transformers .* refuses this configuration"),
        ({"model_type": ["wavlm"]}, r"model_type is \['wavlm'\], expected one of"),
        ({"num_attention_heads": 7}, "cannot make a hubert of this configuration: ValueError"),
        ({"hidden_act": "none-such"}, "cannot make a hubert of this configuration: KeyError 'none-such'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(change: dict[str, Any], message: str, checkpoint: Path) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BackboneError, match=message):
        Backbone.from_pretrained(checkpoint)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", b"{", "cannot be read as JSON"),
        ("config.json", b"[]", "holds a list, expected a JSON object"),
        ("model.safetensors", None, "no weights; expected one of model.safetensors"),
        ("model.safetensors", b"\x08", "cannot be read"),
    ],
)
def test_a_broken_file_is_refused(name: str, content: bytes | None, message: str, checkpoint: Path) -> None:
    (checkpoint / name).unlink()
    if content is not None:
        (checkpoint / name).write_bytes(content)
    with pytest.raises(BackboneError, match=message):
        Backbone.from_pretrained(checkpoint)


@pytest.mark.parametrize("shard", ["../model.safetensors", "gone.safetensors"])
def test_a_bad_index_of_shards_is_refused(shard: str, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint.parent / "model.safetensors")
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(BackboneError, match=r"names no shards next to it|gone\.safetensors is missing"):
        Backbone.from_pretrained(checkpoint)


def test_a_pickle_with_code_in_it_is_refused(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    torch.save({"weight": print}, checkpoint / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"pytorch_model\.bin .* more than tensors, which is never run"):
        Backbone.from_pretrained(checkpoint)


def _save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return write_preprocessor(folder, do_normalize=False)


@torch.no_grad()
def _last(backbone: Backbone) -> torch.Tensor:
    waveforms, lengths = waveform_batch([4000])
    *_, last = layer_outputs(backbone, *backbone.features(waveforms, lengths), Adapters(backbone))
    return last


def _cache(checkpoint: Path, entry: Path) -> None:
    """Lay a checkpoint out as the hub's cache does: blobs, a revision of links to them, and its name."""
    snapshot = entry / "snapshots" / ("0" * 40)
    for folder in (snapshot, entry / "blobs", entry / "refs"):
        folder.mkdir(parents=True)
    for path in checkpoint.iterdir():
        blob = entry / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", blob.name))
    (entry / "refs" / "main").write_text(snapshot.name)


def _rewrite(folder: Path, form: str) -> None:
    """The same weights in another form."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    _store(folder, tensors, form)


def _store(folder: Path, tensors: dict[str, torch.Tensor], form: str) -> None:
    if form == "old weight norm":
        old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        for new, name in old.items():
            tensors = {key.replace(new, name): tensor for key, tensor in tensors.items()}
    if form == "task-wrapped":
        tensors = {f"hubert.{name}": tensor for name, tensor in tensors.items()} | {"lm_head.bias": torch.zeros(3)}
    if form == "contentvec":  # a HuBERT with what its training left behind: a projection, label embeddings, a mask
        extra = {"final_proj.weight": (8, 24), "final_proj.bias": (8,), "label_embs_concat": (4, 8)}
        tensors = tensors | {name: torch.ones(shape) for name, shape in extra.items()}
        config = json.loads((folder / "config.json").read_text())
        changed = {**config, "architectures": ["HubertModelWithFinalProj"], "classifier_proj_size": 8}
        (folder / "config.json").write_text(json.dumps(changed))
    if "sharded" not in form:
        _store_one(folder, tensors, "pytorch_model.bin" if form == "bin" else "model.safetensors")
        return
    ending = "bin" if "bin" in form else "safetensors"
    shards = {name: f"part-{place % 2}.{ending}" for place, name in enumerate(tensors)}
    for shard in set(shards.values()):
        _store_one(folder, {name: tensor for name, tensor in tensors.items() if shards[name] == shard}, shard)
    stem = "pytorch_model" if ending == "bin" else "model"
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": shards}))


def _store_one(folder: Path, tensors: dict[str, torch.Tensor], name: str) -> None:
    if name.endswith(".bin"):
        torch.save(tensors, folder / name)
    else:
        save_file(tensors, folder / name)

"""What a checkpoint says of its preprocessing, in each form that transformers writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elp_core.backbones import Backbone
from elp_core.backbones.preprocessing import reads_normalised, standardise
from elp_core.errors import BackboneError
from elp_core.testing import save_tiny, tiny_model, waveform_batch, write_preprocessor
from elp_core.types import SAMPLE_RATE

FAMILIES = ["wav2vec2", "hubert", "wavlm", "data2vec-audio"]
VALUES: list[dict[str, Any]] = [{"do_normalize": True}, {"do_normalize": False}, {}]


def _processor(folder: Path, values: dict[str, Any]) -> None:
    """Let transformers write its processor_config.json, and leave out what `values` leaves out."""
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(**values), tokenizer).save_pretrained(folder)
    path = folder / "processor_config.json"
    whole = json.loads(path.read_text())
    assert whole["feature_extractor"].pop("do_normalize") is values.get("do_normalize", True)
    path.write_text(json.dumps({**whole, "feature_extractor": {**whole["feature_extractor"], **values}}))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("values", VALUES, ids=["true", "false", "absent"])
@pytest.mark.parametrize("form", ["processor_config", "preprocessor_config", "both"])
@torch.no_grad()
def test_features_are_those_after_the_processor_of_transformers(
    family: str, values: dict[str, Any], form: str, tmp_path: Path
) -> None:
    from transformers import AutoFeatureExtractor

    folder = save_tiny(tmp_path / "checkpoint", family)
    (folder / "preprocessor_config.json").unlink()
    if form != "preprocessor_config":
        _processor(folder, values)
    if form != "processor_config":
        # with both files, transformers reads the nested settings
        other = {"do_normalize": not values.get("do_normalize", True)}
        write_preprocessor(folder, **(other if form == "both" else values))
    backbone = Backbone.from_pretrained(folder)
    assert backbone.normalize is values.get("do_normalize", True)
    waveforms, lengths = waveform_batch([6000])
    waveforms += 0.02
    theirs = AutoFeatureExtractor.from_pretrained(folder)
    inputs = torch.as_tensor(theirs(waveforms[0].numpy(), sampling_rate=SAMPLE_RATE).input_values[0])
    ours = standardise(waveforms, lengths)[0] if backbone.normalize else waveforms[0]
    torch.testing.assert_close(ours, inputs, atol=1e-6, rtol=0)
    expected = tiny_model(family).feature_extractor(inputs[None]).transpose(1, 2)
    torch.testing.assert_close(backbone.features(waveforms, lengths)[0], expected, atol=1e-6, rtol=1e-5)


def test_a_batch_is_standardised_clip_by_clip() -> None:
    from transformers import Wav2Vec2FeatureExtractor

    waveforms, lengths = waveform_batch([6000, 401, 2500])
    raw = [row[:length].numpy() for row, length in zip(waveforms, lengths.tolist(), strict=True)]
    theirs = Wav2Vec2FeatureExtractor(return_attention_mask=True)(raw, sampling_rate=SAMPLE_RATE, padding=True)
    torch.testing.assert_close(
        standardise(waveforms, lengths), torch.as_tensor(np.stack(theirs["input_values"])), atol=1e-6, rtol=0
    )


def test_a_file_that_decided_before_keeps_its_fingerprint(tmp_path: Path) -> None:
    plain = save_tiny(tmp_path / "plain")
    stated = Backbone.from_pretrained(plain).fingerprint
    assert stated == Backbone.from_model(tiny_model("hubert"), "model").fingerprint
    write_preprocessor(plain)
    assert Backbone.from_pretrained(plain).fingerprint == Backbone.from_model(tiny_model(), "m", True).fingerprint
    assert Backbone.from_pretrained(plain).fingerprint != stated


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("", {}, r"has no preprocessor_config.json and no processor_config.json .*write preprocessor_config.json with"),
        ("processor_config.json", {"processor_class": "Wav2Vec2Processor"}, "it is unknown whether the backbone"),
        ("processor_config.json", {"feature_extractor": [1]}, r"feature_extractor is \[1\], expected an object"),
        ("preprocessor_config.json", [], "holds a list, expected a JSON object"),
        ("preprocessor_config.json", {"sampling_rate": 8000}, "sampling_rate is 8000, expected 16000: every recording"),
        ("preprocessor_config.json", {"sampling_rate": "16k"}, "sampling_rate is '16k', expected 16000"),
        ("preprocessor_config.json", {"sampling_rate": True}, "sampling_rate is True, expected 16000"),
        ("processor_config.json", {"feature_extractor": {"sampling_rate": 44100}}, "sampling_rate is 44100"),
        ("preprocessor_config.json", {"do_normalize": "no"}, "do_normalize is 'no', expected true or false"),
        ("preprocessor_config.json", {"do_normalize": None}, "do_normalize is None, expected true or false"),
        (
            "preprocessor_config.json",
            {"feature_extractor_type": "WhisperFeatureExtractor"},
            "feature_extractor_type is 'WhisperFeatureExtractor', expected Wav2Vec2FeatureExtractor",
        ),
    ],
)
def test_what_cannot_be_known_is_refused(name: str, content: object, message: str, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(BackboneError, match=message):
        reads_normalised(tmp_path)


def test_a_backbone_for_another_sampling_rate_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "checkpoint")
    (folder / "model.safetensors").unlink()
    write_preprocessor(folder, sampling_rate=8000)
    with pytest.raises(BackboneError, match="sampling_rate is 8000"):
        Backbone.from_pretrained(folder)


def test_a_number_without_a_fraction_is_the_same_rate(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 16000.0}')
    assert reads_normalised(tmp_path) is True


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, r"no preprocessor_config.json .* unknown which energies .*'num_mel_bins': 4, 'stride': 2"),
        ({"num_mel_bins": 80}, r"num_mel_bins is 80, expected 4: .*feature_projection_input_dim is 8"),
        ({"feature_extractor_type": "SeamlessM4TFeatureExtractor"}, "num_mel_bins is 80, expected 4"),
        ({"num_mel_bins": 4, "stride": 1}, "stride is 1, expected 2: the backbone takes 2 frames of 4 mel bins"),
        (
            {"feature_extractor_type": "Wav2Vec2FeatureExtractor"},
            "expected SeamlessM4TFeatureExtractor, which computes",
        ),
        ({"num_mel_bins": 4, "sampling_rate": 8000}, "sampling_rate is 8000"),
    ],
)
def test_energies_of_another_form_are_refused(settings: dict[str, Any] | None, message: str, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path, "wav2vec2-bert")
    (folder / "preprocessor_config.json").unlink()
    if settings is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match=message):
        Backbone.from_pretrained(folder)

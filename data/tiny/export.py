"""The backbone as a Hugging Face folder: `config.json`, float16 `model.safetensors`, `preprocessor_config.json`."""

from __future__ import annotations

from pathlib import Path

import torch

from tiny.files import write_json, write_tensors
from tiny.network import MaskedPredictor

PREPROCESSOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "do_normalize": False,
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16000,
}


def export(model: MaskedPredictor, folder: Path) -> None:
    """Write the backbone without its head; loaders convert the float16 tensors to the config's `dtype`, float32."""
    config = model.backbone.config.to_diff_dict()
    config |= {"architectures": ["HubertModel"], "dtype": "float32"}
    config.pop("_attn_implementation_internal", None)
    tensors = {name: value.to(torch.float16) for name, value in model.backbone.state_dict().items()}
    write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)

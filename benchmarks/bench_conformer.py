"""w2v-BERT 2.0 in its published width: our front end and encoder against those of transformers, parity and speed.

Random weights and 4 of its 24 layers, clips of 2 to 6 s of noise, inference on one thread. The energies of transformers
are computed clip by clip in NumPy; ours are a batch in torch.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from turns import take_turns

from elp_core.backbones import Adapters, Backbone, layer_outputs
from elp_core.private_names import import_after_torchaudio
from elp_core.testing import tiny_model, waveform_batch

LENGTHS = [32_000, 48_000, 64_000, 96_000]
PUBLISHED = {
    "hidden_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feature_projection_input_dim": 160,
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
    "conv_depthwise_kernel_size": 31,
}
TURNS = 4


@torch.inference_mode()
def main() -> None:
    """Print the largest differences and a table of times."""
    torch.set_num_threads(1)
    module = import_after_torchaudio("transformers.models.seamless_m4t.feature_extraction_seamless_m4t")
    extractor, model = module.SeamlessM4TFeatureExtractor(), tiny_model("wav2vec2-bert", **PUBLISHED)
    backbone = Backbone.from_model(model, "random")
    waveforms, lengths = waveform_batch(LENGTHS)
    raw = [row[:length].numpy() for row, length in zip(waveforms, LENGTHS, strict=True)]

    def prepared() -> Any:
        return extractor(raw, sampling_rate=16_000, return_tensors="pt")

    theirs = prepared()
    features, counts = backbone.features(waveforms, lengths)

    def encode() -> torch.Tensor:
        *_, last = layer_outputs(backbone, features, counts, Adapters(backbone))
        return last

    def apart(ours: torch.Tensor, other: torch.Tensor) -> float:
        rows = zip(ours, other, counts.tolist(), strict=True)
        return max(float((a[:count] - b[:count]).abs().max()) for a, b, count in rows)

    print(f"energies: {apart(features, theirs.input_features):.1e} apart")
    print(f"states from the same energies: {apart(encode(), model(features, theirs.attention_mask)[0]):.1e} apart")
    print(f"states from the waveforms: {apart(encode(), model(**theirs)[0]):.1e} apart")
    print("\n| step | transformers, ms | elp_core, ms | speed |\n|---|---|---|---|")
    steps = {
        "energies": (prepared, lambda: backbone.features(waveforms, lengths)),
        "encoder, 4 layers": (lambda: model(**theirs), encode),
    }
    for name, (one, other) in steps.items():
        times = take_turns({"theirs": one, "ours": other}, TURNS)
        ms = [1e3 * statistics.median(times[way]) for way in ("theirs", "ours")]
        print(f"| {name} | {ms[0]:.0f} | {ms[1]:.0f} | {ms[0] / ms[1]:.2f} x |", flush=True)


if __name__ == "__main__":
    main()

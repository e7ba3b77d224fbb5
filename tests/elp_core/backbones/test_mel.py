"""Log mel energies against the NumPy code of transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from elp_core.backbones.mel import MEL_LAW, MelFeatures, mel_filters
from elp_core.errors import AudioError
from elp_core.private_names import import_after_torchaudio
from elp_core.testing import tiny_backbone, tone, waveform_batch

LENGTHS = [16_000, 9_999, 560, 720, 719, 12_345]


def extractor(bins: int = 80) -> Any:
    module = import_after_torchaudio("transformers.models.seamless_m4t.feature_extraction_seamless_m4t")
    return module.SeamlessM4TFeatureExtractor(feature_size=bins, num_mel_bins=bins)


@pytest.mark.parametrize("bins", [80, 4])
def test_energies_and_frame_counts_are_those_of_transformers(bins: int) -> None:
    waveforms, lengths = waveform_batch(LENGTHS)
    waveforms[0, :8000] += torch.from_numpy(tone(440, 0.5))  # bins 100 dB below their neighbours
    raw = [row[:length].numpy() for row, length in zip(waveforms, LENGTHS, strict=True)]
    theirs = extractor(bins)(raw, sampling_rate=16_000, return_tensors="pt")
    ours, counts = MelFeatures(bins)(waveforms, lengths), MEL_LAW.counts(lengths)
    assert counts.tolist() == theirs.attention_mask.sum(1).tolist() == [49, 30, 1, 1, 1, 37]
    for row, count in enumerate(counts.tolist()):
        torch.testing.assert_close(ours[row, :count], theirs.input_features[row, :count], atol=4e-5, rtol=1e-5)
        assert not ours[row, count:].any()


def test_they_are_those_of_exact_sums() -> None:
    waveforms, lengths = waveform_batch([160_000])
    energies = extractor()._extract_fbank_features(waveforms[0].numpy()).astype(np.float64)
    exact = (energies - energies.mean(0)) / np.sqrt(energies.var(0, ddof=1) + 1e-7)
    ours = MelFeatures(80)(waveforms, lengths)[0]
    torch.testing.assert_close(ours.double(), torch.from_numpy(exact[:998].reshape(499, 160)), atol=1e-5, rtol=0)


def test_the_filters_are_those_of_transformers() -> None:
    np.testing.assert_allclose(mel_filters(80), extractor().mel_filters, atol=1e-12)


def test_padding_and_other_clips_change_nothing() -> None:
    waveforms, lengths = waveform_batch(LENGTHS)
    mel = MelFeatures(80)
    together = mel(torch.cat([waveforms, torch.ones(6, 999)], dim=1), lengths)
    for row, length in enumerate(LENGTHS):
        alone = mel(waveforms[row : row + 1, :length], lengths[row : row + 1])[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, atol=2e-6, rtol=0)


def test_silence_has_finite_energies() -> None:
    assert bool(MelFeatures(80)(torch.zeros(1, 16_000), torch.tensor([16_000])).isfinite().all())


def test_a_clip_of_one_mel_frame_is_refused() -> None:
    backbone = tiny_backbone("wav2vec2-bert")
    assert (backbone.hop, backbone.min_samples, backbone.samples_needed(2)) == (320, 560, 880)
    with pytest.raises(AudioError, match="559 samples has no frame; this backbone needs 560"):
        backbone.features(torch.zeros(1, 559), torch.tensor([559]))

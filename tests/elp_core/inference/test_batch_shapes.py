"""Clips share a tensor on a GPU; on a CPU those that need little padding do."""

from __future__ import annotations

import numpy as np
import torch

from elp_core.backbones import Backbone
from elp_core.data.collate import collate
from elp_core.inference.batch_shapes import LEAST_SHARE, padded_together, rounded_up
from elp_core.testing import FAMILY_NAMES, tiny_backbone, tone


def test_lengths_are_rounded_up_to_eight_in_an_octave() -> None:
    found = [rounded_up(samples) for samples in range(400, 20_000)]
    assert all(samples <= rounded <= 1.126 * samples for samples, rounded in enumerate(found, 400))
    assert len(set(found)) <= 8 * 6
    assert found == sorted(found)
    assert all(rounded_up(one) == one for one in found)


def test_on_a_cpu_clips_of_other_lengths_are_apart_and_on_a_gpu_together() -> None:
    lengths = [100, 40, 95, 91, 50, 100, 89]
    groups = padded_together(lengths, int, torch.device("cpu"))
    assert groups == [[40], [50], [89], [100, 100, 95, 91]]
    assert all(min(group) >= LEAST_SHARE * max(group) for group in groups)
    assert padded_together(lengths, int, torch.device("cuda")) == [lengths]
    assert padded_together([], int, torch.device("cuda")) == padded_together([], int, torch.device("cpu")) == []


def test_features_are_the_same_with_padding_after_the_longest_clip() -> None:
    for family in FAMILY_NAMES:
        backbone: Backbone = tiny_backbone(family)
        waveforms, lengths = collate([tone(300, 0.31), tone(500, 0.2)])
        expected, counts = backbone.features(waveforms, lengths)
        wider = torch.cat([waveforms, torch.zeros(2, 1111)], dim=1)
        found, others = backbone.features(wider, lengths, keep_padding=True)
        assert torch.equal(counts, others)
        np.testing.assert_allclose(found, expected, atol=1e-5)
